/** While a gang trains: spares that are lost or used up are replaced, and what a launch needs is brought to the new ones. */
import {
  CancellationScope,
  condition,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  patched,
  workflowInfo,
} from '@temporalio/workflow';
import { backendOf } from './backends.js';
import { newestComplete, planCopies } from './checkpoints.js';
import { runChild } from './child.js';
import { onNode, peerOf, type NodeInfo } from './contract.js';
import { messageOf } from './failure-chain.js';
import { listed, withNewcomer } from './islands.js';
import type { GenerationInput } from './generation-progress.js';
import { spareReady, type SpareReady } from './messages.js';
import { checkpointsDir } from './plan.js';
import { prepareData } from './prepare-data.js';
import { listCheckpoints } from './restore.js';
import { note, type Run } from './run-generation.js';

/** Runs that began before leave a new spare without copies until the next launch. */
const KEEPS_COPIES = 'a new spare keeps copies';
/** Before, one that was lost waited until those that had come were ready. */
const READY_BESIDE = 'spares are made ready beside what else happens to spares';

/** Goes on until it is cancelled. Nothing here is a reason to disturb training: what fails is left to the next launch. */
export async function refillSpares(run: Run, input: GenerationInput): Promise<void> {
  const { crew, lostSpares } = run;
  const lacking = () => crew.lacking;
  const settling = createSettling(run, input);
  try {
    for (;;) {
      await condition(() => lostSpares.length > 0 || crew.newcomers.length > 0 || lacking() > 0);
      const lost = lostSpares.splice(0).filter((name) => crew.spares.some((spare) => spare.name === name));
      const came = crew.welcome();
      if (lost.length > 0) {
        for (const name of lost) settling.giveUp(name);
        await CancellationScope.nonCancellable(() => crew.replace(lost, 'its copier of checkpoints ended'));
        note(run, `spare ${lost.join(', ')} was lost; the pool is asked for another`);
      }
      // The pool's answer may come after this generation has ended, and is not to be missed.
      await CancellationScope.nonCancellable(() => Promise.resolve(crew.seek(lacking())));
      await settling.begin(came);
    }
  } finally {
    await settling.stop();
  }
}

/** Makes newcomers ready, each by itself: what is brought to one may take hours. */
function createSettling(run: Run, input: GenerationInput) {
  const begun = new Map<string, { scope: CancellationScope; done: Promise<void> }>();

  function begin(node: NodeInfo): Promise<void> {
    const before = begun.get(node.name)?.done;
    const scope = new CancellationScope({ cancellable: true });
    const done = scope
      .run(async () => {
        // It was lost and has come again: what was begun for it has the names that are needed now.
        await before;
        run.settling.add(node.name);
        await settle(run, input, node);
      })
      // Cancelled: the generation is over, or the node is lost.
      .catch(() => undefined)
      .finally(() => run.settling.delete(node.name));
    begun.set(node.name, { scope, done });
    return done;
  }

  return {
    /** Waits for them only where a run did so before. */
    async begin(came: NodeInfo[]): Promise<void> {
      for (const { name } of came) run.settling.add(name);
      for (const node of came) {
        const done = begin(node);
        if (!patched(READY_BESIDE)) await done;
      }
    },
    giveUp: (name: string): void => begun.get(name)?.scope.cancel(),
    async stop(): Promise<void> {
      for (const { scope } of begun.values()) scope.cancel();
      await Promise.all([...begun.values()].map(({ done }) => done));
    },
  };
}

/** Whatever fails is made up for by the next launch. */
async function settle(run: Run, input: GenerationInput, node: NodeInfo): Promise<void> {
  try {
    const beside = await bring(run, input, node);
    const where = beside?.length ? `, on the storage of ${listed(beside)}` : '';
    note(run, `${node.name} is a spare now, with the data and the newest checkpoint${where}`);
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('a new spare is not ready yet', { node: node.name, error: messageOf(error) });
    note(run, `${node.name} is a spare now; data or checkpoint follow with the next launch: ${messageOf(error)}`);
  }
}

/** From now on it keeps copies, if some are lacking. */
async function tellReady(
  { spec, state }: Run,
  { token }: GenerationInput,
  ready: Omit<SpareReady, 'token' | 'replicas'>,
): Promise<void> {
  try {
    const told = { token, replicas: spec.train.replicas, ...ready };
    await getExternalWorkflowHandle(state.child!).signal(spareReady, told);
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.info('the generation ended before its new spare was ready', { node: ready.node.name, error: String(error) });
  }
}

/** @returns those whose storage of checkpoints it has; nothing where nobody looked */
async function bring(run: Run, input: GenerationInput, node: NodeInfo): Promise<string[] | undefined> {
  const { spec, crew, data } = run;
  const timing = spec.recovery;
  const own = onNode(node.name, timing);
  // It may have come from another run: what that one left is ended.
  const { token, series } = input;
  const fence = { token, run: input.run, series, probe: input.run, joins: true } as const;
  const { access, beside } = await own.fenceNode(fence);
  // At once: what comes next may take long, or fail. The newest save is copied as well: who kept copies of it may be gone.
  const after = Math.max(0, run.state.replicated - 1);
  if (patched(KEEPS_COPIES)) await tellReady(run, input, { node, after, ...(beside && { beside }) });
  const { warnings = [] } = await runChild(
    prepareData,
    {
      workflowId: `${workflowInfo().workflowId}/data-${node.name}`,
      input: {
        ...{ spec, nodes: [...input.nodes, { ...node, ...(access !== undefined && { access }) }], timing },
        ...(data && { known: data }),
      },
      summary: `dataset for the spare ${node.name}`,
    },
    () => undefined,
  );
  for (const warning of warnings) note(run, `dataset: ${warning}`);
  const { places: placesOf, shards: shardsOf } = backendOf(spec);
  const trains = { ...spec, cluster: { ...spec.cluster, nodes: input.nodes.length } };
  const [places, shards] = [placesOf(trains), shardsOf(trains)];
  const dir = checkpointsDir(spec.series);
  const newest = newestComplete(await listCheckpoints(dir, input.nodes, timing, spec.train.keepCheckpoints), shards);
  // What it would have kept copies of, had it been there at the launch.
  const spares = crew.spares.map(peerOf);
  const others = [...input.nodes, ...input.spares].map(({ name }) => name).filter((name) => name !== node.name);
  // Workers of an earlier version do not look: then it counts as a storage of its own.
  const storages = beside ? withNewcomer(input.storages, others, { name: node.name, beside }) : input.storages;
  const { [node.name]: copies } = planCopies(places, input.nodes.map(peerOf), spares, spec.train.replicas, storages);
  if (!newest || !copies) return beside;
  await own.restoreCheckpoint({
    // Its storage may be a member's, where ranks move the tracker.
    ...{ dir, iteration: newest.iteration, setAsideNewer: false, leavesTracker: true as const },
    shards: copies.map(({ shard }) => newest.shards[shard]!),
  });
  return beside;
}
