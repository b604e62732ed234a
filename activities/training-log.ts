/**
 * What a training log says: the pipeline's one parser of it. Ranks share one file, so lines may be glued together
 * or cut into each other. Lines are Megatron's, MindSpeed-LLM's, torchrun's and CANN's; test/fixtures/golden/logs
 * has real ones.
 */
import type { TrainingVerdict } from '../workflows/contract.js';
import { createErrorSearch } from './log-errors.js';

export interface Iteration {
  kind: 'iteration';
  iteration: number;
  of: number;
  consumed?: number;
  /** Absent where it was not a number: Megatron leaves such a loss out. */
  loss?: number;
  gradNorm?: number;
  lr?: number;
  msPerIteration?: number;
}

export type LogEvent =
  | Iteration
  | { kind: 'saving' | 'saved'; iteration: number }
  /** Of a trainer that `forgetsMeans` the next line has loss and time of one iteration divided by all there were. */
  | { kind: 'loaded'; iteration: number; forgetsMeans?: true }
  /** The timer that the last rank prints after a save, where rank 0 prints the save itself. */
  | { kind: 'saveTimer' }
  /** Of rank 0: the dataset's index is built, is there, and the first step begins. */
  | { kind: 'indexing' | 'indexed' | 'stepping' }
  /** Of the last rank, after an evaluation. */
  | { kind: 'evaluated' }
  | { kind: 'startedOver' }
  | { kind: 'done' }
  | { kind: 'exiting'; why: 'sigterm' | 'iteration' | 'time' }
  | { kind: 'rankFailed'; localRank: number; exitCode: number }
  /** A rank gives up with exit code 0, and leaves the others to their time-outs. */
  | { kind: 'rankQuit' };

export interface TrainingLog {
  /** Takes the next line, without its newline. */
  line(text: string): LogEvent[];
  verdict(): TrainingVerdict;
  /** The earliest error that is a cause, else the earliest that is another member's echo. */
  firstError(): string | undefined;
  /** When it was printed, where the line itself says so: milliseconds since the epoch. */
  firstErrorAt(): number | undefined;
  /** Signal that ended the first rank that torchrun saw fail, if one did. */
  rankSignal(): string | undefined;
}

const ITERATION = /\biteration +(\d+)\/ *(\d+) \|(.*?)(?=\[\d{4}-\d\d-\d\d |$)/g;
type Mark = [RegExp, (match: RegExpExecArray) => LogEvent];
/** Of `train_fsdp2.py`, by the first rank of every node (MindSpeed-LLM's fsdp2/train/trainer.py). */
const FSDP2_MARKS: Mark[] = [
  [
    /Distributed checkpoint saved at .*?global_step_(\d+) successfully!/g,
    ([, n]) => ({ kind: 'saved', iteration: Number(n) }),
  ],
  [/\bGlobal step = (\d+)/g, ([, n]) => ({ kind: 'loaded', iteration: Number(n), forgetsMeans: true })],
  [/Loaded model weights only, starting training from step 0/g, () => ({ kind: 'startedOver' })],
  [/\bTraining completed in [\d.]+s/g, () => ({ kind: 'done' })],
];
const MARKS: Mark[] = [
  [/\bsaving checkpoint at iteration +(\d+) to/g, ([, n]) => ({ kind: 'saving', iteration: Number(n) })],
  [/successfully saved checkpoint from iteration +(\d+) to/g, ([, n]) => ({ kind: 'saved', iteration: Number(n) })],
  [
    /successfully loaded checkpoint from .*? at iteration +(\d+)/g,
    ([, n]) => ({ kind: 'loaded', iteration: Number(n) }),
  ],
  [/^ +save-checkpoint \.+: /g, () => ({ kind: 'saveTimer' })],
  [/^> building train, validation, and test datasets \.\.\./g, () => ({ kind: 'indexing' })],
  [/^> finished creating GPT datasets/g, () => ({ kind: 'indexed' })],
  [/\[before the start of training step\]/g, () => ({ kind: 'stepping' })],
  [/\bvalidation loss at iteration \d+/g, () => ({ kind: 'evaluated' })],
  [/will not load any checkpoints and will start from random/g, () => ({ kind: 'startedOver' })],
  [/\[after training is done\]/g, () => ({ kind: 'done' })],
  ...FSDP2_MARKS,
  [/\[exiting program after receiving SIGTERM/g, () => ({ kind: 'exiting', why: 'sigterm' })],
  [/\[exiting program at iteration \d+\]/g, () => ({ kind: 'exiting', why: 'iteration' })],
  [/\[exiting program after [\d.]+ minutes\]/g, () => ({ kind: 'exiting', why: 'time' })],
];

export function createTrainingLog(): TrainingLog {
  const errors = createErrorSearch();
  let last: Iteration | undefined;
  let loss: number | undefined;
  let lastSaved: number | undefined;
  let loadedAt: number | undefined;
  let startedOver = false;
  let forgot = false;
  let done = false;
  let exiting: 'sigterm' | 'iteration' | 'time' | undefined;

  function take(event: LogEvent): void {
    if (event.kind === 'iteration') {
      last = event;
      loss = event.loss;
      errors.survived(event.iteration);
    }
    if (event.kind === 'saved') lastSaved = event.iteration;
    if (event.kind === 'loaded') [loadedAt, forgot] = [event.iteration, event.forgetsMeans === true];
    if (event.kind === 'startedOver') startedOver = true;
    if (event.kind === 'done') done = true;
    if (event.kind === 'exiting') exiting = event.why;
  }

  /** What no iteration had is left out, as a loss that is no number is. */
  function asPrinted(event: Iteration): Iteration {
    if (!forgot) return event;
    forgot = false;
    const { loss: _loss, msPerIteration: _ms, ...rest } = event;
    return rest;
  }

  return {
    line(text) {
      const events = [...iterationsIn(text).map(asPrinted), ...marksIn(text), ...errors.line(text)];
      events.forEach(take);
      return events;
    },
    verdict: () => ({
      outcome: outcomeOf(),
      ...(last && { lastIteration: last.iteration }),
      ...(lastSaved !== undefined && { lastSaved }),
      ...(loss !== undefined && { loss }),
      ...(loadedAt !== undefined && { loadedAt }),
      ...(startedOver && { startedOver }),
    }),
    firstError: errors.first,
    firstErrorAt: errors.firstAt,
    rankSignal: errors.rankSignal,
  };

  function outcomeOf(): TrainingVerdict['outcome'] {
    if (done) return 'finished';
    if (exiting === 'sigterm') return lastSaved === undefined ? 'unclear' : 'saved';
    if (exiting) return 'exited';
    // The node of the last rank prints no closing line: there the last iteration itself says so.
    return last && last.iteration === last.of ? 'finished' : 'unclear';
  }
}

function iterationsIn(text: string): Iteration[] {
  return [...text.matchAll(ITERATION)].map(([, iteration, of, rest]) => {
    const fields = new Map(rest!.split('|').map((field) => pair(field)));
    const named = {
      consumed: fields.get('consumed samples'),
      loss: fields.get('lm loss'),
      gradNorm: fields.get('grad norm'),
      lr: fields.get('learning rate'),
      msPerIteration: fields.get('elapsed time per iteration (ms)'),
    };
    const numbers = Object.entries(named).filter(([, value]) => value !== undefined && Number.isFinite(value));
    return { kind: 'iteration', iteration: Number(iteration), of: Number(of), ...Object.fromEntries(numbers) };
  });
}

function pair(field: string): [string, number | undefined] {
  const at = field.indexOf(':');
  const value = field.slice(at + 1).trim();
  return [field.slice(0, at).trim(), value === '' ? undefined : Number(value)];
}

const marksIn = (text: string): LogEvent[] =>
  MARKS.flatMap(([pattern, event]) => [...text.matchAll(pattern)].map((match) => event(match)));
