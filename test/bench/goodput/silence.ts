/** How long training may be silent before the pipeline's own detector takes it for hung. */
import { createHangDetector } from '../../../activities/hang-detector.js';
import { hangLimits } from '../../../workflows/hang-limits.js';
import { parseRunSpec } from '../../../workflows/spec.js';

export interface Silences {
  step: number;
  save: number;
  start: number;
}

const STEPS_SEEN = 8;

/** Seconds in each phase, of a run with default patience that has seen a start, steps and a save. */
export function silences(stepSeconds: number, saveSeconds: number, startSeconds: number): Silences {
  const parsed = parseRunSpec(
    {
      model: { preset: 'qwen3-tiny' },
      tokenizer: { source: 'hf://a/tokenizer' },
      dataset: { source: 'hf://a/data/*.parquet' },
      cluster: { nodes: 1, devicesPerNode: 1 },
      train: { iterations: 1000, globalBatch: 1, seqLength: 128, saveInterval: STEPS_SEEN, replicas: 0 },
    },
    'silence',
  );
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  const limits = hangLimits(parsed.spec, 0, { start: startSeconds * 1000, save: saveSeconds * 1000 });
  if (!limits) throw new Error('recovery.hangAfter: expected a default that looks for hangs');
  const allowed = (iterations: number): number => {
    const detector = createHangDetector(limits, 0);
    let now = startSeconds * 1000;
    if (iterations > 0) detector.take({ kind: 'stepping' }, now);
    for (let iteration = 1; iteration <= iterations; iteration++)
      detector.take(
        { kind: 'iteration', iteration, of: 1000, msPerIteration: stepSeconds * 1000 },
        (now += stepSeconds * 1000),
      );
    for (;;) {
      const silence = detector.look((now += 1000));
      if (silence) return silence.allowedMs / 1000;
    }
  };
  return { start: allowed(0), step: allowed(STEPS_SEEN - 1), save: allowed(STEPS_SEEN) };
}
