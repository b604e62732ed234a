/** What nodes can say of each other past the server: whose machine is there, and whom nobody reaches. */
import { patched } from '@temporalio/workflow';
import { onProbe, peerOf, type NodeInfo, type Timing } from './contract.js';
import { milliseconds } from './duration.js';
import { LOOKED_AT, WITNESSES } from './open-activities.js';
import { createSlots, type Slots } from './slots.js';

type Seen = 'up' | 'gone' | 'unknown';

/** Looks that began before wait for every witness, also for those that are lost themselves. */
const SEEN_BY_MOST = 'a look ends when most have not reached the node';

/**
 * Who is asked: spread over all, from half a stride past the node on. Neighbours in a list often share a switch or a rack,
 * which take them along together; and where many nodes are silent, not all ask the same few.
 */
export function witnessesOf<Node extends { name: string }>(node: Node, all: Node[]): Node[] {
  const at = all.findIndex(({ name }) => name === node.name);
  const others = all.filter(({ name }) => name !== node.name);
  if (others.length <= WITNESSES) return others;
  const stride = others.length / WITNESSES;
  return Array.from(
    { length: WITNESSES },
    (_, index) => others[(Math.max(at, 0) + Math.floor((index + 0.5) * stride)) % others.length]!,
  );
}

/**
 * What others see of a node. `unknown` when they do not answer themselves: then it is the server, or the way to it,
 * that is away.
 */
export async function lookAt(node: NodeInfo, all: NodeInfo[]): Promise<Seen> {
  const answers = witnessesOf(node, all).map(({ name }) =>
    onProbe(name)
      .probePeer({ peer: peerOf(node) })
      .then(({ reachable }) => reachable)
      .catch(() => undefined),
  );
  return patched(SEEN_BY_MOST) ? firstVerdict(answers) : verdictOf(await Promise.all(answers));
}

/**
 * As soon as it is clear: one that reaches it is enough. Most of all who do not are, too: the others may be lost themselves,
 * which takes longer to tell. Not half of them: of two, one may be cut off itself.
 */
export function firstVerdict(answers: Promise<boolean | undefined>[]): Promise<Seen> {
  const seen: (boolean | undefined)[] = [];
  const inVain = () => seen.filter((reached) => reached === false).length;
  return new Promise((resolve) => {
    const look = (): void => {
      const isClear = seen.includes(true) || inVain() > answers.length / 2;
      if (isClear || seen.length === answers.length) resolve(verdictOf(seen));
    };
    look();
    for (const answer of answers)
      void answer.then((reached) => {
        seen.push(reached);
        look();
      });
  });
}

function verdictOf(seen: (boolean | undefined)[]): Seen {
  if (seen.every((answer) => answer === undefined)) return 'unknown';
  return seen.some((answer) => answer) ? 'up' : 'gone';
}

/** Members that no other node reaches, though the server may; none where that holds for all, and nobody can tell who is cut off. */
export async function cutOff(members: NodeInfo[], all: NodeInfo[]): Promise<string[]> {
  const inTurn = createSlots(LOOKED_AT);
  const states = await Promise.all(members.map((node) => inTurn(() => lookAt(node, all))));
  const gone = members.filter((_, index) => states[index] === 'gone').map(({ name }) => name);
  return gone.length === members.length ? [] : gone;
}

/**
 * How long a node whose worker was lost is waited for: not at all when no other node reaches it, for its agent's grace
 * when its machine is there, for the lease when nobody can tell. Each call says of one more loss whether that was it.
 * @param inTurn of all that are looked at in this workflow
 */
export function patienceWith(node: NodeInfo, all: NodeInfo[], timing: Timing, inTurn: Slots) {
  const heard = milliseconds(timing.heartbeat) + 2 * milliseconds(timing.agentAway);
  const limits: Record<Seen, number> = {
    gone: 0,
    up: milliseconds(timing.agentGrace),
    unknown: milliseconds(timing.lease),
  };
  let seen: { state: Seen; since: number } | undefined;
  /** @param began when the activity that was lost was scheduled, ms since the epoch */
  return async (began: number): Promise<{ over: boolean; state: Seen }> => {
    // One that lasted was there meanwhile: patience begins anew.
    if (Date.now() - began > heard) seen = undefined;
    const state = await inTurn(() => lookAt(node, all));
    // Where nobody answered until now, this node may only be the last to come back.
    const isBack = seen?.state === 'unknown' && state !== 'unknown';
    if (seen?.state !== state) seen = { state, since: Date.now() };
    return { over: !isBack && Date.now() - seen.since >= limits[state], state };
  };
}
