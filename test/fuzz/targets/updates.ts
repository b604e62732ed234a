import fc from 'fast-check';
import { answerTo, type View } from '../../../workflows/answers.js';
import { poolAnswer } from '../../../workflows/cordon.js';
import { readPoolRequest, readRunRequest } from '../../../workflows/requests.js';
import { parseRunSpec } from '../../../workflows/spec.js';
import { noWishes } from '../../../workflows/wishes.js';
import { TWO_NODES as file } from '../../support/run-files.js';
import { mutatedJson } from '../mutate.js';
import type { Target } from '../target.js';

const viewIn = (phase: View['state']['phase']): View => ({
  state: { phase, generation: 1, iteration: 45, replicated: 40, target: 200, secondsPerIteration: 10, series: 's' },
  ...{ file, saveInterval: 20, stopGrace: '20s', members: ['n1', 'n2'], spares: ['n3'], wishes: noWishes() },
  gates: [{ name: 'train', passed: false }],
});

const because = { who: 'ann', why: 'rack 3 gets new fans' };
const settings = {
  ...{ saveInterval: 10, spares: 2, iterations: 400, schedule: 'keep' },
  extraArgs: { '--lr': 1e-4, '--recompute-granularity': 'full', '--profile-save-path': 'profiles/a', '--bf16': null },
};
const of = <N extends string>(name: N, seed: object) => mutatedJson([seed]).map((input): [N, unknown] => [name, input]);

/** Whatever an update of a run holds: a refusal in words, or an answer and a run file that is still a good one. */
export const runUpdates: Target<[Parameters<typeof readRunRequest>[0], unknown]> = {
  name: 'run-updates',
  inputs: fc.oneof(
    of('resumeTraining', { ...because, settings }),
    of('pauseTraining', { ...because, at: 'now', nodes: 'free' }),
    of('drainNode', { ...because, node: 'n1', at: 'checkpoint' }),
    of('addSpare', { ...because, count: 2 }),
    of('approve', { ...because, gate: 'train', decision: 'proceed' }),
    of('checkpointNow', because),
  ),
  check([name, input]) {
    const read = readRunRequest(name, input);
    if ('wrong' in read) return said(read.wrong);
    for (const phase of ['paused', 'train', 'approval', 'data'] as const) {
      const answer = answerTo(read.request, viewIn(phase));
      if ('refuse' in answer) said(answer.refuse);
      else said(answer.say);
    }
    if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(read.request.who + read.request.why)) throw new Error('a reason of two lines');
    if (!('spec' in parseRunSpec(file, 'r'))) throw new Error('the run file was changed in place');
    return undefined;
  },
};

/** The same of the pool. */
export const poolUpdates: Target<[Parameters<typeof readPoolRequest>[0], unknown]> = {
  name: 'pool-updates',
  inputs: fc.oneof(...(['cordon', 'uncordon', 'drain'] as const).map((name) => of(name, { ...because, node: 'n1' }))),
  check([name, input]) {
    const read = readPoolRequest(name, input);
    if ('wrong' in read) return said(read.wrong);
    const node = { name: 'n1', address: '10.0.0.1', port: 7, devices: 8, profile: 'npu' as const };
    const answer = poolAnswer({ nodes: [node], waiting: [], token: 1 }, read.request);
    return said('refuse' in answer ? answer.refuse : answer.say);
  },
};

function said(words: string): void {
  if (!words || /undefined|\[object|NaN/.test(words.replace(/got .*/s, ''))) throw new Error(`says ${words}`);
}
