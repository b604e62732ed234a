/** Why a generation failed and on which node, from what all its members saw. Pure: evidence in, one cause out. */
import type { MemberEvidence, NodeInfo } from './contract.js';
import { FAULT_RULES, faultOf, suspectOf } from './fault-rules.js';
import { stuckMember } from './hang-culprit.js';
import { judgeEnd, type EndPlan, type MemberEnd } from './training-end.js';

/** How one member of a failed generation ended. */
export interface MemberFailure {
  node: string;
  /**
   * Lost: neither its worker nor its stop answered. Failed: its ranks ended with an error. Hung: it is the one that
   * prints iterations, and none came. Stopped: ended by us.
   */
  kind: 'lost' | 'failed' | 'hung' | 'stopped';
  message: string;
  /** A rank of it is known to have ended, or no other node reaches its machine: no collective of the whole world completes. */
  isOut?: true;
  evidence?: MemberEvidence;
}

export type Cause =
  'node' | 'hang' | 'hardware' | 'network' | 'environment' | 'leftover' | 'user' | 'numeric' | 'unknown';

export interface Blame {
  cause: Cause;
  /** Nodes to blame; none where nothing points at one. */
  nodes: string[];
  /** What was seen, of whom, and what it means. */
  why: string;
  /** What a person can do about it, where a rule knows. */
  advice?: string;
  logPath?: string;
}

/**
 * A lost node first, then the oldest error that is a cause, then what a hang left to see; where members only tell of
 * each other's end, the one that did not get to tell anything.
 */
export function blame(members: MemberFailure[], plan: EndPlan, gang: Pick<NodeInfo, 'name' | 'address'>[]): Blame {
  const lost = members.filter(({ kind }) => kind === 'lost').map(({ node }) => node);
  if (lost.length > 0) return { cause: 'node', nodes: lost, why: `${lost.join(', ')} did not answer` };

  const failed = members.filter(({ kind }) => kind === 'failed');
  const hung = members.find(({ kind }) => kind === 'hung');
  const rest = members.filter(({ kind }) => kind !== 'failed');
  const end = judgeEnd([...failed, ...rest].map(endOf), plan);
  const about = (node: string | undefined) => {
    const logPath = members.find((member) => member.node === node)?.evidence?.logPath;
    return { nodes: node === undefined ? [] : [node], ...(logPath && { logPath }) };
  };

  if (end.end === 'failed' && end.class && end.class !== 'symptom') {
    const { meaning, advice } = FAULT_RULES.find(({ name }) => name === end.name) ?? {};
    const why = `${said(end)}${meaning ? ` (${meaning})` : ''}`;
    return { cause: end.class, ...about(end.node), why, ...(advice && { advice }) };
  }
  if (hung) {
    const stuck = stuckMember(members);
    const looked = members.find(({ node, evidence }) => evidence?.stacksPath && node === (stuck?.node ?? node));
    const stacks = looked && `stacks, here of ${looked.node}: ${looked.evidence!.stacksPath}`;
    const why = [hung.message, stuck?.what ?? 'no rank stands out', ...(stacks ? [stacks] : [])].join('; ');
    return { cause: 'hang', ...about(stuck?.node), why };
  }
  if (end.end !== 'failed')
    return failed[0]
      ? { cause: 'unknown', ...about(failed[0].node), why: failed[0].message }
      : { cause: 'unknown', nodes: [], why: `the ranks ended at iteration ${end.iteration}, asked by somebody else` };
  if (end.class !== 'symptom') {
    const named = failed.find(({ node }) => node === end.node);
    const why = named && !named.evidence?.firstError ? named.message : said(end);
    return failed.length > 0 || end.name === 'unknown'
      ? { cause: 'unknown', ...about(end.node), why }
      : { cause: 'unknown', nodes: [], why: 'no member says why' };
  }
  return { ...behindEchoes(members, failed, gang, about), why: said(end) };
}

/** With the node's name, which what its activities say begins with already. */
const said = ({ node, why }: { node?: string; why: string }): string =>
  node === undefined || why.startsWith(`${node}: `) ? why : `${node}: ${why}`;

/** All that was said is that others ended: who did, without saying so? */
function behindEchoes(
  members: MemberFailure[],
  failed: MemberFailure[],
  gang: Pick<NodeInfo, 'name' | 'address'>[],
  about: (node: string | undefined) => Pick<Blame, 'nodes' | 'logPath'>,
): Omit<Blame, 'why'> {
  const mute =
    failed.find(({ evidence }) => evidence?.signal !== undefined) ?? failed.find((member) => !lineOf(member));
  if (mute) return { cause: 'unknown', ...about(mute.node) };
  const suspects = members.flatMap((member) => namedIn(lineOf(member) ?? '', gang) ?? []);
  const silent = members.filter((member) => !lineOf(member));
  // On many members a time-out is a symptom: the one that has none is what they waited for.
  return { cause: 'network', ...about(suspects[0] ?? (silent.length === 1 ? silent[0]!.node : undefined)) };
}

/** The member at an address that a line of HCCL or gloo names; nothing where several share it. */
function namedIn(line: string, gang: Pick<NodeInfo, 'name' | 'address'>[]): string | undefined {
  const address = suspectOf(line) ?? /peer \[([\d.]+|[\da-f:]+)\]/i.exec(line)?.[1];
  const there = gang.filter((node) => node.address === address);
  return there.length === 1 ? there[0]!.name : undefined;
}

const lineOf = ({ evidence, kind, message }: MemberFailure): string | undefined =>
  evidence?.firstError ?? (kind === 'failed' && faultOf(message) ? message : undefined);

function endOf(member: MemberFailure): MemberEnd {
  const { node, evidence } = member;
  const { exitCode, verdict = { outcome: 'unclear' }, firstErrorAt, lookedAt } = evidence ?? {};
  const firstError = lineOf(member);
  return {
    ...{ node, verdict },
    ...(exitCode !== undefined && { exitCode }),
    ...(firstError !== undefined && { firstError }),
    ...(firstErrorAt !== undefined && lookedAt !== undefined && { errorAge: Math.max(0, lookedAt - firstErrorAt) }),
  };
}
