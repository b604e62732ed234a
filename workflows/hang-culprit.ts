/** Which member of a hung gang the others wait for, from the states and stacks that were kept of all ranks. Pure. */
import type { MemberEvidence, RankState } from './contract.js';

/** States of Linux in which a rank cannot go on by itself, the surest first. */
const STUCK: Record<string, string> = {
  T: 'is stopped',
  t: 'is held by a debugger',
  Z: 'has ended',
  X: 'has ended',
  D: 'is stuck in the kernel, in a driver or on a disk',
};

/** Where ranks are that wait for other ranks. */
const WAITING =
  /all_?reduce|all_?gather|reduce_?scatter|all_?to_?all|broadcast|barrier|batch_isend_irecv|send_(forward|backward)|recv_(forward|backward)|\b(isend|irecv|recv|send)\b|wait|synchronize|hccl|gloo|nccl/i;

export interface Stuck {
  node: string;
  what: string;
}

interface Member {
  node: string;
  evidence?: Pick<MemberEvidence, 'ranks'>;
}

/** A rank that cannot run; else the only one that is not where the others wait. Nothing where no rank stands out. */
export function stuckMember(members: Member[]): Stuck | undefined {
  const ranks = members.flatMap(({ node, evidence }) => (evidence?.ranks ?? []).map((rank) => ({ node, ...rank })));
  const order = Object.keys(STUCK);
  const [worst] = ranks
    .filter(({ state }) => state in STUCK)
    .sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
  if (worst) return { node: worst.node, what: `rank ${worst.rank} of ${worst.node} ${STUCK[worst.state]!}` };
  const known = ranks.filter((rank): rank is typeof rank & Required<Pick<RankState, 'at'>> => rank.at !== undefined);
  const elsewhere = known.filter(({ at }) => !WAITING.test(at));
  const nodes = new Set(elsewhere.map(({ node }) => node));
  if (nodes.size !== 1 || elsewhere.length === known.length) return undefined;
  const { node, rank, at } = elsewhere[0]!;
  return { node, what: `rank ${rank} of ${node} is in ${at}, and the others wait` };
}
