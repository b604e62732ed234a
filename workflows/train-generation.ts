/**
 * One generation: an all-or-none launch over the gang. Launch everywhere, watch everywhere, and however it ends
 * stop everywhere: the first member that fails ends the generation, since a world of ranks cannot lose one.
 */
import {
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  patched,
  sleep,
} from '@temporalio/workflow';
import { onNode, type NodeInfo, type WatchResult } from './contract.js';
import { keepLastSave } from './copy-checkpoints.js';
import { failureIn, lostNode, messageOf, rankEnded, startedWrong } from './failure-chain.js';
import { followProgress, type GenerationInput, type GenerationResult, type Progress } from './generation-progress.js';
import { torchrunArgs } from './plan.js';
import type { MemberFailure } from './failure-cause.js';
import { milliseconds } from './duration.js';
import { judgeEnd } from './training-end.js';
import { failedNode, FEW, lostHost, tagged, watchAll, type Interrupted, type Looks } from './watch-gang.js';
import { stoppedAtOnce } from './open-activities.js';
import { createSlots } from './slots.js';
import { lookAt } from './witnesses.js';

/** At once: what they are told is several kB each, and all commands of a workflow task fit in 4 MB or the server ends the workflow. */
const LAUNCHES = 250;
/** Members whose log's end is kept. */
const TAILS = 8;

export async function trainGeneration(input: GenerationInput): Promise<GenerationResult> {
  const progress = followProgress(input);
  const members = new Map<string, MemberFailure>();
  const looks: Looks = new Map();
  let results: WatchResult[] | Interrupted = [];
  let wrong = false;
  const watching = new CancellationScope({ cancellable: true });

  try {
    if (!input.attached) await launchAll(input);
    results = await watchAll(input, progress, watching, looks);
  } catch (error) {
    const node = isCancellation(error) ? undefined : (lostNode(error) ?? failedNode(error));
    if (node === undefined) {
      await CancellationScope.nonCancellable(async () => {
        await stopAll(input, progress, members, { watching });
        await keepLastSave(input, progress, [...members.values()]);
      });
      throw error;
    }
    noteFailure(members, node, error);
    wrong = startedWrong(error);
  }
  // Outside the try: it is thrown, and must not be taken for a failure that stops the ranks.
  if (results === 'history full') return continueAsNew<typeof trainGeneration>(progress.continued());
  if (results === 'asked') {
    await CancellationScope.nonCancellable(() => stopAndKeep(input, progress, members, { watching }));
    return { outcome: 'stopped', ...progress.summary(), members: brief([...members.values()]) };
  }
  if (results.length > 0) judge(input, results, members);
  if (results.length === 0 || members.size > 0) {
    const how = { watching, unsaved: wrong, looks };
    await CancellationScope.nonCancellable(() => stopAndKeep(input, progress, members, how));
    return { outcome: 'failed', ...progress.summary(), members: brief([...members.values()]) };
  }
  await progress.tell();
  // The last node's log knows more than the last report of it.
  const { lastIteration = progress.state.iteration, loss } = results.at(-1)!.verdict;
  const ended = { ...progress.summary(), iteration: lastIteration, ...(loss !== undefined && { loss }) };
  const behind = progress.behind(Math.max(...results.map(({ verdict }) => verdict.lastSaved ?? 0)));
  return { outcome: 'finished', ...ended, members: [], ...(behind !== undefined && { behind }) };
}

interface StopOptions {
  /** In which members are watched, to be cancelled once they were asked to stop. */
  watching: CancellationScope;
  /** Ranks began from something else, and would save it over the series' own checkpoints. */
  unsaved?: boolean;
  /** Members that others look at already: one that is gone is not waited for. */
  looks?: Looks;
}

async function stopAndKeep(
  input: GenerationInput,
  progress: Progress,
  members: Map<string, MemberFailure>,
  how: StopOptions,
): Promise<void> {
  await stopAll(input, progress, members, how);
  for (const { evidence } of members.values()) progress.reached(evidence?.lastIteration ?? 0);
  if (!how.unsaved) await keepLastSave(input, progress, [...members.values()]);
  await progress.tell();
}

/** Exit code 0 is not success: MindSpeed-LLM also exits 0 when it finds no checkpoint, cannot read one, or is told to stop. */
function judge(input: GenerationInput, results: WatchResult[], members: Map<string, MemberFailure>): void {
  const ends = results.map((result, rank) => ({ node: input.nodes[rank]!.name, ...result }));
  const end = judgeEnd(ends, input);
  if (end.end === 'finished' || end.end === 'reached') return;
  const { node = input.nodes[0]!.name } = end.end === 'failed' ? end : {};
  const message =
    end.end === 'failed' ? end.why : `stopped by somebody else after a save at iteration ${end.iteration}`;
  members.set(node, { node, kind: 'failed', message });
}

async function launchAll(input: GenerationInput): Promise<void> {
  for (let first = 0; first < input.nodes.length; first += LAUNCHES) {
    const group = input.nodes.slice(first, first + LAUNCHES);
    await Promise.all(group.map((node, index) => launch(input, node, first + index)));
  }
}

const launch = (input: GenerationInput, node: NodeInfo, nodeRank: number): Promise<void> =>
  tagged(node.name, () =>
    onNode(node.name, input.timing).launchTraining({
      run: input.run,
      series: input.series,
      generation: input.generation,
      token: input.token,
      torchrun: torchrunArgs(nodeRank, input.nodes, input.devices, input.masterPort),
      script: input.script,
      ...(input.loads !== undefined && { loads: input.loads }),
      ...(input.published && { published: input.published }),
      ...(input.model && { model: input.model }),
      ...(input.identity && { identity: input.identity }),
      saves: {
        ...{ isFirst: nodeRank === 0, shards: input.writes[nodeRank] ?? [], after: input.startedFrom },
        ...(input.lastGasps && { dumps: true as const }),
      },
      env: input.env ?? {},
      leaseSeconds: milliseconds(input.timing.lease) / 1000,
    }),
  );

/**
 * Stops every member and keeps what each one saw. Asks until one confirms or the lease is over everywhere: only then may
 * another gang start. Whom the watch has lost already is asked only where nobody else confirms: one confirmation is
 * enough, and whoever comes back later is fenced before it is given to a run, or ends with its lease.
 */
async function stopAll(
  input: GenerationInput,
  progress: Progress,
  members: Map<string, MemberFailure>,
  how: StopOptions,
): Promise<void> {
  const { timing } = input;
  const known = [...members.values()].filter(({ kind }) => kind === 'lost').map(({ node }) => node);
  let ask = input.nodes.filter(({ name }) => !known.includes(name));
  let over: number | undefined;
  for (let wait = 2_000; ; wait = Math.min(wait * 2, 60_000)) {
    const unconfirmed = await stopEach(input, progress, ask, members, how);
    // Not before: those whose ranks have ended end by themselves, which is an event less of each. The lease of the others
    // lasts as long as they are watched.
    how.watching.cancel();
    over ??= Date.now() + milliseconds(timing.lease) + milliseconds(timing.stopGrace);
    const until = `${new Date(over).toISOString().slice(11, 19)} UTC, when the lease has ended everywhere`;
    const left = over - Date.now();
    if (unconfirmed.length < ask.length || left <= 0) return progress.stopping();
    const all = ask.length === input.nodes.length;
    ask = input.nodes;
    if (!all) continue;
    progress.stopping(`no node confirms that its ranks have ended: asked again until ${until}; ${few(unconfirmed)}`);
    await sleep(Math.min(wait, left));
  }
}

/** Why members did not confirm, one reason each. */
async function stopEach(
  input: GenerationInput,
  progress: Progress,
  nodes: NodeInfo[],
  members: Map<string, MemberFailure>,
  { unsaved = false, looks }: StopOptions,
): Promise<string[]> {
  const { run, generation, token, timing } = input;
  // A save takes the whole world: where some have no part in it any more, the others only wait for them.
  const isInVain = unsaved || [...members.values()].some(({ isOut }) => isOut);
  const graceSeconds = isInVain ? 0 : milliseconds(timing.stopGrace) / 1000;
  const keepStacks = [...members.values()].some(({ kind }) => kind === 'hung');
  const unconfirmed: string[] = [];
  const silent = new Set(nodes.map(({ name }) => name));
  const looking = new CancellationScope({ cancellable: true });
  const unlessGone = goneWhileStopping(input, members, silent, { looks, isInVain });
  const atOnce = stoppedAtOnce({ members: input.nodes.length, copiers: progress.roles.tasks().length });
  // One rank that is told to save takes all others along.
  const inTurn = createSlots(nodes.length > atOnce && patched(STOPPED_IN_TURN) ? atOnce : Infinity);
  await Promise.all(
    nodes.map(async ({ name }) => {
      try {
        const stopped = inTurn(() =>
          onNode(name, timing).stopTraining({
            ...{ run, generation, token, graceSeconds },
            ...(keepStacks && { keepStacks }),
          }),
        );
        const evidence = await Promise.race([stopped, looking.run(() => unlessGone(name))]);
        if (!evidence.confirmed) unconfirmed.push(`${name}: processes do not end, not on SIGKILL either`);
        const known = members.get(name);
        members.set(name, { node: name, kind: 'stopped', message: 'stopped with the gang', ...known, evidence });
      } catch (error) {
        unconfirmed.push(messageOf(error));
        if (lostNode(error) || !members.has(name)) noteFailure(members, name, error);
      } finally {
        silent.delete(name);
      }
    }),
  );
  looking.cancel();
  return unconfirmed;
}

/** Also where that was more than the server takes of one workflow: a thousand nodes, with those that copy checkpoints. */
const STOPPED_IN_TURN = 'members of a large gang are stopped in turn';

/** A worker that the server reaches, though no other node does, says within this time that it stops its ranks. */
const STOPS_WITHIN = '1 second';
/** Generations that began before wait for each of them as long as a stop may take. */
const SILENT_IS_LOOKED_AT = 'who does not confirm its stop is looked at';

/** What throws for a member that has not confirmed its stop and is reached by nobody; else it never ends. */
function goneWhileStopping(
  input: GenerationInput,
  known: ReadonlyMap<string, MemberFailure>,
  silent: ReadonlySet<string>,
  { looks, isInVain }: { looks: Looks | undefined; isInVain: boolean },
): (node: string) => Promise<never> {
  let few: Promise<void> | undefined;
  const areFew = () => (few ??= sleep(STOPS_WITHIN).then(() => condition(() => silent.size <= FEW)));
  const isGone = async (name: string): Promise<boolean> => {
    const look = looks?.get(name);
    if (look) {
      if ((await look) !== 'gone') return false;
      await sleep(STOPS_WITHIN);
      return true;
    }
    // Of one that is lost already there is nothing more to learn, and where ranks get time to save silence says nothing.
    if (!isInVain || known.get(name)?.kind === 'lost' || !patched(SILENT_IS_LOOKED_AT)) return false;
    await areFew();
    if (!silent.has(name)) return false;
    const node = input.nodes.find((other) => other.name === name)!;
    return (await lookAt(node, [...input.nodes, ...input.spares])) === 'gone';
  };
  return async (name) => {
    if (!(await isGone(name))) return new Promise<never>(() => undefined);
    const failure = ApplicationFailure.create({
      ...{ type: 'NodeLost', nonRetryable: true, message: `${name} did not answer: no other node reaches it` },
      details: [{ node: name }],
    });
    throw Object.assign(failure, { host: 'gone' });
  };
}

const few = (reasons: string[]): string =>
  [...reasons.slice(0, 3), ...(reasons.length > 3 ? [`and ${reasons.length - 3} more`] : [])].join('; ');

/** All members' evidence is one result: the ends of logs only of those that may be to blame. */
const brief = (members: MemberFailure[]): MemberFailure[] =>
  members.map(({ evidence, ...member }, index) => {
    if (!evidence || (member.kind !== 'stopped' && index < TAILS)) return { ...member, ...(evidence && { evidence }) };
    const { tail: _, ...rest } = evidence;
    return { ...member, evidence: rest };
  });

function noteFailure(members: Map<string, MemberFailure>, node: string, error: unknown): void {
  members.set(node, {
    node,
    kind: lostNode(error) ? 'lost' : failureIn(error, 'TrainingHung') ? 'hung' : 'failed',
    message: messageOf(error),
    ...((rankEnded(error) || lostHost(error) === 'gone') && { isOut: true }),
  });
}
