/** Getting a file set to where it is needed: made once, found where it is, copied from whoever has it. */
import { ApplicationFailure, CancellationScope, log, patched, sleep } from '@temporalio/workflow';
import {
  onNode,
  peerOf,
  type Artifact,
  type ArtifactFound,
  type NodeInfo,
  type PairDigests,
  type Timing,
} from './contract.js';
import { failureIn, lostNode, messageOf } from './failure-chain.js';
import { storageOf, type Groups } from './islands.js';
import { setAsideDamaged, type Note } from './set-aside.js';
import { createHolders } from './silent-holders.js';

export interface Placed {
  artifact: Artifact;
  /** Nodes that hold what it was made of as well: those that were found to, or all where it was made just now. */
  withParts: NodeInfo[];
  pairs?: PairDigests;
}

export interface PlaceOptions {
  /** Nodes read again what they have not read for a day. */
  prove?: boolean | undefined;
  /** Nodes by the storage that the directory is on, where only some share it. */
  groups?: Groups | undefined;
  /** Nodes also tell which datasets they have that were made like this. */
  like?: string | undefined;
  /** Hears of what is made again, since it was damaged on every node that had it. */
  note: Note;
}

interface Made {
  artifact: Artifact;
  at: NodeInfo;
  pairs?: PairDigests | undefined;
}

/** What each node said. */
export type Answers = (ArtifactFound & { node: NodeInfo })[];

/**
 * Brings the artifact in `dir` to all nodes, to each storage once. `make` runs only if no node has it, and says which
 * node made it. What was taken for whole and is not, on every node that had it, is set aside and made once more.
 */
export async function placeEverywhere(
  dir: string,
  nodes: NodeInfo[],
  timing: Timing,
  make: (answers: Answers) => Promise<Made>,
  options: PlaceOptions,
): Promise<Placed> {
  const first = await foundOrMade({ dir, nodes, timing, make, options });
  try {
    return await copied(first, nodes, timing, options);
  } catch (error) {
    if (first.isAgain || !failureIn(error, 'DataCorrupt')) throw error;
    log.warn('what nodes were said to have is read again', { dir, why: messageOf(error) });
    return copied(await foundOrMade({ dir, nodes, timing, make, options, anew: true }), nodes, timing, options);
  }
}

interface Wanted {
  dir: string;
  nodes: NodeInfo[];
  timing: Timing;
  make(answers: Answers): Promise<Made>;
  options: PlaceOptions;
  /** Nodes read all of it, whenever that was done last. */
  anew?: true;
}

interface Held extends Made {
  /** Nodes that were found to have it. */
  holders: NodeInfo[];
  withParts: NodeInfo[];
  /** It was damaged everywhere, and made once more. */
  isAgain: boolean;
}

async function foundOrMade({ dir, nodes, timing, make, options, anew }: Wanted): Promise<Held> {
  const { prove = false, groups, like, note } = options;
  const wanted = { dir, ...(prove && { prove }), ...(anew && { anew }), ...(like !== undefined && { like }) };
  const answers: Answers = await Promise.all(
    nodes.map(async (node) => ({ node, ...(await onNode(node.name, timing).findArtifact(wanted)) })),
  );
  const found = groups ? agreed(answers, groups) : answers;
  const there = found.find(({ artifact }) => artifact);
  const damaged = answers.filter((answer) => answer.damaged).map(({ node }) => node);
  const isAgain = !there && damaged.length > 0;
  if (isAgain) await setAsideDamaged(dir, damaged, timing, { again: 'made', note });
  const first: Made = there ? { ...there, at: there.node, artifact: there.artifact! } : await make(answers);
  return {
    ...{ ...first, isAgain },
    holders: found.filter((f) => f.artifact?.digest === first.artifact.digest).map(({ node }) => node),
    withParts: there ? found.filter(({ parts }) => parts).map(({ node }) => node) : nodes,
  };
}

/** From those that have it to the others. Where one finds it damaged there, none copies any more when that is thrown. */
async function copied(
  { artifact, pairs, at, holders, withParts }: Held,
  nodes: NodeInfo[],
  timing: Timing,
  { groups }: PlaceOptions,
): Promise<Placed> {
  const from = (holders.length ? holders : [at]).map(peerOf);
  const others = nodes.filter(({ name }) => !from.some((peer) => peer.name === name));
  // Whoever shares a storage waits for the first there and then fetches nothing: no block would come by way of it.
  const beside = oneOfEach(others, groups).map(peerOf);
  const atATime = toldAtATime(from.length + beside.length);
  const rounds = others.length > atATime && patched(IN_ROUNDS) ? { atATime, between: nextTask } : undefined;
  const under: Promise<unknown>[] = [];
  const outlasting = createHolders(timing);
  const copy = (node: NodeInfo) => {
    const work = outlasting((asks) => onNode(node.name, timing).syncFiles({ artifact, from, beside, ...asks }));
    under.push(work);
    return work;
  };
  const scope = new CancellationScope({ cancellable: true });
  try {
    await scope.run(() => oncePerStorage(others, groups, copy, rounds));
  } catch (error) {
    if (failureIn(error, 'DataCorrupt')) {
      scope.cancel();
      await Promise.allSettled(under);
    }
    throw error;
  }
  return { artifact, withParts, ...(pairs && { pairs }) };
}

/** All commands of a workflow task fit in 4 MB, or the server ends the workflow. */
const TASK_BYTES = 1_500_000;
/** Of a command by itself, and of each node's name, address and token in it. */
const COMMAND_BYTES = 1000;
const PEER_BYTES = 200;
/** Before, each of some two hundred nodes was told of all others in one task. */
const IN_ROUNDS = 'copies to many nodes are asked for in rounds';

/** How many nodes may be told of so many others in one workflow task. */
export const toldAtATime = (peers: number): number =>
  Math.max(1, Math.floor(TASK_BYTES / (COMMAND_BYTES + PEER_BYTES * peers)));

/** So short that who fetches the same still counts as beginning together. */
export const nextTask = (): Promise<void> => sleep('10 ms');

/** One that found its bytes damaged has unsealed them for all that share them, whatever those had said. */
function agreed<T extends { node: NodeInfo; artifact?: Artifact | undefined }>(answers: T[], groups: Groups): T[] {
  const storage = storageOf(groups);
  const differing = new Set<string>();
  const said = new Map<string, string | undefined>();
  for (const { node, artifact } of answers) {
    const on = storage(node.name);
    if (said.has(on) && said.get(on) !== artifact?.digest) differing.add(on);
    said.set(on, artifact?.digest);
  }
  return answers.map((answer) =>
    differing.has(storage(answer.node.name)) ? { ...answer, artifact: undefined } : answer,
  );
}

/**
 * Runs a step that writes the same files on one node of each storage, and then on the others that share it: they find
 * there what the first one brought, and prove it. Two at a time would each bring all of it.
 *
 * @param rounds so many storages begin at once, and the next ones a moment later
 */
export async function oncePerStorage(
  nodes: NodeInfo[],
  groups: Groups | undefined,
  step: (node: NodeInfo) => Promise<unknown>,
  rounds: { atATime: number; between(): Promise<void> } = { atATime: Infinity, between: () => Promise.resolve() },
): Promise<void> {
  const storage = storageOf(groups);
  const sharing = new Map<string, NodeInfo[]>();
  for (const node of nodes) {
    const on = storage(node.name);
    sharing.set(on, [...(sharing.get(on) ?? []), node]);
  }
  const inTurn = async ([first, ...others]: NodeInfo[]) => {
    await step(first!);
    await Promise.all(others.map(step));
  };
  const under: Promise<void>[] = [];
  for (const nodes of sharing.values()) {
    if (under.length > 0 && under.length % rounds.atATime === 0) await rounds.between();
    const work = inTurn(nodes);
    // Thrown below; until then nobody waits for it.
    work.catch(() => undefined);
    under.push(work);
  }
  await Promise.all(under);
}

/** One of these nodes for each storage. */
export function oneOfEach(nodes: NodeInfo[], groups: Groups | undefined): NodeInfo[] {
  const storage = storageOf(groups);
  const taken = new Set<string>();
  return nodes.filter(({ name }) => !taken.has(storage(name)) && taken.add(storage(name)));
}

export type Turns = ReturnType<typeof createTurns>;

/** Lets the nodes of one storage write one directory there in turn: the next one finds what the one before it brought. */
export function createTurns(groups: Groups | undefined) {
  const storage = storageOf(groups);
  const tails = new Map<string, Promise<unknown>>();
  return <T>({ name }: NodeInfo, dir: string, work: () => Promise<T>): Promise<T> => {
    if (!groups) return work();
    const key = `${storage(name)}/${dir}`;
    const mine = (tails.get(key) ?? Promise.resolve()).then(work, work);
    tails.set(key, mine);
    return mine;
  };
}

/**
 * Runs a step on the first of the nodes that answers; only a lost node passes it on to the next. Steps that share
 * `lost` ask a node that another has found lost after all others, since each would wait for it as long.
 */
export async function onFirst<T>(
  nodes: NodeInfo[],
  step: (node: NodeInfo) => Promise<T>,
  lost = new Set<string>(),
): Promise<T> {
  const isLost = ({ name }: NodeInfo) => lost.has(name);
  const order = [...nodes.filter((node) => !isLost(node)), ...nodes.filter(isLost)];
  for (const [index, node] of order.entries()) {
    try {
      return await step(node);
    } catch (error) {
      if (!lostNode(error) || index === order.length - 1) throw error;
      lost.add(node.name);
    }
  }
  throw ApplicationFailure.nonRetryable('no node to run a step on', 'OutOfNodes');
}
