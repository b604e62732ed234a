/** What the members of a gang report of one fault: the input of the pipeline's own `blame`. */
import type { MemberFailure } from '../../../workflows/failure-cause.js';
import type { FaultKind } from './faults.js';

export type Struck =
  | { node: string; kind: FaultKind; atLinkUp?: never }
  /** Links of a node that were never built: what the others say of it is a time-out with its address. */
  | { node: string; atLinkUp: true; kind?: never };

/** Others that also print an error, of the end of those that had one. */
const ECHOES = 3;
const ECHO = 'Connection reset by peer';

/** @param members names, in the order of node ranks */
export function membersOf(members: string[], struck: Struck[]): MemberFailure[] {
  const lost = new Set(struck.filter(({ kind }) => kind?.shows === 'lost').map(({ node }) => node));
  const hung = struck.every(({ kind }) => kind?.shows === 'hung');
  const watcher = members.at(-1)!;
  let echoes = 0;
  return members.map((node): MemberFailure => {
    const evidence = { node, confirmed: true, logPath: `/data/${node}/train.log` };
    if (lost.has(node)) return { node, kind: 'lost', message: 'its worker does not answer' };
    if (hung)
      return node === watcher
        ? { node, kind: 'hung', message: 'no iteration within the allowed silence', evidence }
        : { node, kind: 'stopped', message: 'stopped with the gang', evidence };
    const own = struck.find((one) => one.node === node);
    if (own?.kind?.line !== undefined)
      return failed({ ...evidence, firstError: own.kind.line, firstErrorAt: 0, lookedAt: 10_000 });
    if (++echoes > ECHOES) return { node, kind: 'stopped', message: 'stopped with the gang', evidence };
    const silent = struck.find(({ atLinkUp }) => atLinkUp);
    const firstError = silent
      ? `EI0006: Getting socket times out. Cluster Exception Location[IP/ID]:[${silent.node}/0]`
      : ECHO;
    return failed({ ...evidence, firstError, firstErrorAt: 9_000, lookedAt: 10_000 });
  });
}

const failed = (evidence: NonNullable<MemberFailure['evidence']>): MemberFailure => ({
  ...{ node: evidence.node, kind: 'failed', message: 'torchrun ended with exit code 1' },
  evidence: { ...evidence, exitCode: 1 },
});
