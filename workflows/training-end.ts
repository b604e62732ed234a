/**
 * How a generation ended, by what all its members' logs and exit codes say together. The trainer exits 0 in more
 * ways than by finishing, and each of its lines is printed by one rank only. Pure.
 */
import type { TrainingVerdict } from './contract.js';
import { faultOf, firstFault, type FaultClass } from './fault-rules.js';

export interface MemberEnd {
  node: string;
  /** Of torchrun; absent for a member that had to be killed. */
  exitCode?: number;
  verdict: TrainingVerdict;
  firstError?: string;
  /** Milliseconds from that error to the look at it. */
  errorAge?: number;
}

export interface EndPlan {
  /** Checkpoint that the launch should have loaded; 0 for none. */
  startedFrom: number;
  /** Iteration at which the run ends. */
  target: number;
}

export type TrainingEnd =
  | { end: 'finished' | 'reached' | 'stopped'; iteration: number }
  /** `name` is that of the fault rule, or of what is missing for a success. */
  | { end: 'failed'; name: string; class?: FaultClass; why: string; node?: string };

export function judgeEnd(members: MemberEnd[], { startedFrom, target }: EndPlan): TrainingEnd {
  const of = <K extends keyof TrainingVerdict>(field: K) =>
    members.map(({ verdict }) => verdict[field]).filter((value) => value !== undefined);
  const failed = (name: string, why: string, node?: string, cls?: FaultClass): TrainingEnd => ({
    ...{ end: 'failed', name, why },
    ...(node !== undefined && { node }),
    ...(cls && { class: cls }),
  });
  const loaded = of('loadedAt')[0];
  if (loaded !== undefined && startedFrom > 0 && loaded !== startedFrom)
    return failed(
      'loaded-other-iteration',
      `loaded iteration ${loaded}, ${startedFrom} was planned`,
      members.find(({ verdict }) => verdict.loadedAt === loaded)!.node,
      'environment',
    );
  if (startedFrom > 0 && of('startedOver').some(Boolean))
    return failed(
      'missing-tracker',
      `started from random weights, iteration ${startedFrom} was planned`,
      members.find(({ verdict }) => verdict.startedOver)!.node,
      'environment',
    );

  const errors = members.flatMap(({ node, firstError, errorAge }) =>
    firstError ? [{ node, line: firstError, ...(errorAge !== undefined && { age: errorAge }) }] : [],
  );
  const cause = firstFault(errors);
  const stopped = of('outcome').includes('saved');
  const dead = members.find(({ exitCode }) => exitCode !== 0);
  // A stop by us also leaves torchrun with another exit code where it was signalled itself.
  if (dead && !(stopped && !realErrors(errors)))
    return cause
      ? failed(cause.rule?.name ?? 'unknown', cause.line, cause.node, cause.rule?.class)
      : failed(dead.exitCode === undefined ? 'killed' : 'exit-code', describe(dead), dead.node);

  const lastSaved = Math.max(0, ...of('lastSaved'));
  if (stopped) return { end: 'stopped', iteration: lastSaved };
  // Not every iteration is printed, and the last one that is saved was trained.
  const last = Math.max(lastSaved, ...of('lastIteration'));
  if (cause?.rule && cause.rule.class !== 'symptom' && last < target)
    return failed(cause.rule.name, `exit code 0, but: ${cause.line}`, cause.node, cause.rule.class);
  const ended = of('outcome').includes('finished') || of('outcome').includes('exited');
  if (!ended || last < target)
    return failed(
      'ended-early',
      `exit code 0 at iteration ${last}, and ${target} was the target${ended ? '' : '; the log says neither that training is done nor why it ended'}`,
    );
  if (lastSaved < target)
    return failed('no-final-checkpoint', `exit code 0 at iteration ${last}, and the last save was at ${lastSaved}`);
  return { end: of('outcome').includes('exited') ? 'reached' : 'finished', iteration: last };
}

const realErrors = (errors: { line: string }[]): boolean =>
  errors.some(({ line }) => !/SignalException/.test(line) && faultOf(line)?.class !== 'symptom');

const describe = ({ exitCode }: MemberEnd): string =>
  exitCode === undefined
    ? 'it did not end by itself, and its log names no error'
    : `exit code ${exitCode}, and its log names no error`;
