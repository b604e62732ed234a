/** Everything before a launch: nodes checked, data and weights in place, the newest checkpoint restored. */
import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import { atOnce } from './at-once.js';
import { isInterrupted, passGate } from './between-generations.js';
import { checkNodes } from './check.js';
import { newestComplete, planCopies, type NodeListing } from './checkpoints.js';
import { runChild } from './child.js';
import { peerOf, type NodeInfo } from './contract.js';
import { hangLimits } from './hang-limits.js';
import { launchEnvironment } from './launch-environment.js';
import { settingsTried } from './pause-settings.js';
import { checkpointsDir, targetOf, trainingScript, type Start } from './plan.js';
import { prepareData } from './prepare-data.js';
import { prepareWeights } from './prepare-weights.js';
import {
  clearCheckpoints,
  listCheckpoints,
  listKeepers,
  restore,
  restoreNewest,
  type RestoreTarget,
} from './restore.js';
import { note, show, waitingOf, type Run } from './run-generation.js';
import { mayFollow } from './series.js';
import { findSaves, sealLeft, type Sealing } from './seal-saves.js';
import { enterPhase, type RunState } from './status.js';
import { allShards, placeNodes } from './topology.js';
import { setAside } from './unsealed.js';
import type { GenerationInput } from './generation-progress.js';

/** `reached`: this run's last iteration is trained already. `again`: something was asked for that comes first. */
export async function prepareLaunch(run: Run): Promise<GenerationInput | 'reached' | 'again'> {
  const { spec, name, state, crew } = run;
  const { nodes, devicesPerNode: devices } = spec.cluster;
  const timing = spec.recovery;
  const places = placeNodes(spec.parallel, nodes, devices);
  const shards = allShards(spec.parallel, nodes * devices);
  const dir = checkpointsDir(spec.series);
  const enter = (phase: RunState['phase']) => {
    enterPhase(state, phase, Date.now());
    show(run);
  };

  enter('check');
  // Before anything is looked at: what an earlier run of the series left may still be saving.
  const token = await crew.fence();
  const all = [...crew.members, ...crew.spares];
  const look = () => findCheckpoints(run, all, shards);
  const check = () => checkNodes(spec, name, all, timing);
  const place = () =>
    runChild(
      prepareData,
      {
        workflowId: `${workflowInfo().workflowId}/data`,
        input: { spec, nodes: all, timing, prove: state.generation === 0 },
        summary: `dataset ${spec.dataset.source}`,
      },
      waitingOf(run),
    );
  // Later launches find most of it as it was. Before the first one each may take long, or say that nothing more is to be done.
  const again = state.generation > 0 ? await atOnce(look, check, place) : undefined;
  const { found: listings, silent } = again?.[0] ?? (await look());
  const newest = newestComplete(listings, shards)?.iteration;
  const done = newest ?? 0;
  // A node may have been lost since this run first looked: what was seen then is not forgotten.
  state.replicated = Math.max(done, state.replicated);
  mayFollow(run, listings, newest);
  if (state.generation === 0) {
    state.iteration = done;
    state.target = targetOf(spec, state.replicated);
  }
  if (silent.length > 0 && done > 0)
    note(
      run,
      `${silent.join(', ')} served this series and did not answer: what is newer there than iteration ${done} is not used`,
    );
  if (done >= state.target) {
    state.iteration = done;
    return 'reached';
  }
  const { reports, shared } = again?.[1] ?? (await check());

  enter('data');
  const data = again?.[2] ?? (await place());
  for (const warning of data.warnings ?? []) note(run, `dataset: ${warning}`);
  const identity = mayFollow(run, listings, newest, data.dataset);
  if ((await passGate(run, 'train')) || isInterrupted(run)) return 'again';

  enter('restore');
  const target: RestoreTarget = {
    dir,
    members: crew.members,
    spares: crew.spares,
    places,
    timing,
    setAsideNewer: true,
  };
  const restored = await restoreNewest(target, listings, shards);
  const aside = setAside(
    listings.filter(({ peer }) => all.some(({ name: own }) => own === peer.name)),
    restored,
  );
  if (aside) note(run, aside);
  let start: Start = { from: 'checkpoint', iteration: restored };
  if (restored === 0) {
    refuseToStartOver(state, listings, silent);
    await clearCheckpoints(target);
    start = { from: 'random' };
    if (spec.model.init === 'pretrained') {
      enter('weights');
      const { dir: converted, weights } = await prepareWeights(spec, shards, all, timing);
      await restore({ ...target, dir: converted, setAsideNewer: false }, weights);
      start = { from: 'pretrained', dir: converted };
    }
  }

  state.iteration = state.replicated = restored;
  if (isInterrupted(run)) return 'again';
  state.generation++;
  settingsTried(run);
  // From now on these save and keep copies.
  run.empty.clear();
  const copies = planCopies(places, crew.members.map(peerOf), crew.spares.map(peerOf), spec.train.replicas);
  state.copies = Object.fromEntries(
    Object.entries(copies).map(([node, kept]) => [node, [...new Set(kept.flatMap(({ from }) => from.name))]]),
  );
  const hang = hangLimits(spec, restored, state.pace);
  const plan = { dataPrefix: data.prefix, tokenizer: data.tokenizer.dir, start, target: state.target, shared };
  return {
    run: name,
    series: spec.series,
    generation: state.generation,
    token,
    nodes: crew.members,
    spares: crew.spares,
    writes: places.map(({ writes }) => writes),
    copies,
    devices,
    masterPort: reports[0]!.freePort,
    script: trainingScript(spec, plan),
    env: launchEnvironment(spec),
    startedFrom: restored,
    ...(start.from !== 'random' && { loads: restored }),
    identity,
    target: state.target,
    ...(hang && { hang }),
    keepCheckpoints: spec.train.keepCheckpoints,
    timing,
  };
}

/**
 * What the run's nodes hold, with what nobody had sealed; at first, and where that is less than the run had, also what
 * other nodes hold that served the series: it may have moved since it was trained last.
 */
async function findCheckpoints(run: Run, all: NodeInfo[], shards: string[]) {
  const { spec, state, crew, empty } = run;
  const dir = checkpointsDir(spec.series);
  const sealing: Sealing = {
    ...{ series: spec.series, shards, timing: spec.recovery, own: new Set(all.map(({ name }) => name)) },
    note: (text) => note(run, text),
  };
  const own = await sealLeft(await findSaves(await listCheckpoints(dir, all, spec.recovery), sealing), sealing);
  for (const { peer, checkpoints, saves } of own)
    if (checkpoints.length + (saves?.iterations.length ?? 0) === 0) empty.add(peer.name);
  if (state.generation > 0 && (newestComplete(own, shards)?.iteration ?? 0) >= state.replicated)
    return { found: own, silent: [] };
  const others = crew.keepers.filter(({ name }) => !empty.has(name) && !sealing.own.has(name));
  const { listings, silent } = await listKeepers(dir, others, spec.recovery, {
    run: workflowInfo().workflowId,
    series: spec.series,
  });
  const kept = await findSaves(listings, sealing);
  return { found: kept.length > 0 ? await sealLeft([...own, ...kept], sealing) : own, silent };
}

/**
 * Starting from nothing is right for a new series, and after failures before the first checkpoint. It is wrong
 * where part of a checkpoint is here and the rest on a node that is not: the real script would overwrite it.
 */
function refuseToStartOver(state: RunState, listings: NodeListing[], silent: string[]): void {
  const leftovers = [
    ...listings.flatMap(({ peer, checkpoints }) =>
      checkpoints.map(
        ({ iteration, shards }) =>
          `${peer.name} has ${shards.map(({ shard }) => shard).join(', ')} of iteration ${iteration}`,
      ),
    ),
    ...silent.map((name) => `${name} served this series and does not answer`),
  ];
  const lostProgress = state.replicated > 0;
  if (!lostProgress && (state.generation > 0 || leftovers.length === 0)) return;
  throw ApplicationFailure.nonRetryable(
    `series ${state.series} has no checkpoint that is complete over the nodes of this run${lostProgress ? `, though iteration ${state.replicated} was` : ''}: ${leftovers.join('; ') || 'no node has any part'}. Bring back the node with the rest, or use another series to start over`,
    'NoCheckpoint',
  );
}
