/** The run's side of what comes before a launch: the preparation as a child, and the command that follows from it. */
import { workflowInfo } from '@temporalio/workflow';
import { backendOf } from './backends.js';
import { isInterrupted, passGate } from './between-generations.js';
import { planCopies } from './checkpoints.js';
import { runChild } from './child.js';
import { writersOf } from './copy-roles.js';
import { peerOf } from './contract.js';
import { wantedEnding } from './conversation.js';
import type { GenerationInput } from './generation-progress.js';
import { hangLimits } from './hang-limits.js';
import { hasLastGasps } from './high-availability.js';
import { preparationNews } from './messages.js';
import { isOnline, publishedSaid } from './online-conversion.js';
import { noteAside } from './old-checkpoints.js';
import { onSignal } from './on-signal.js';
import { settingsTried } from './pause-settings.js';
import { indexCacheApart, targetOf } from './plan.js';
import type { Prepared, Readiness } from './preparation.js';
import { prepareGeneration } from './prepare-generation.js';
import { relayEnding } from './relay-ending.js';
import { asItTrains, gangOf, isFewer, note, show, waitingOf, type Run } from './run-generation.js';
import { enterPhase, noteReplicated, noteWriter } from './status.js';

/** A series that is to be trained in the place of the run's, whose data is another one. */
export interface Instead {
  instead: string;
  why: string;
}

/** `reached`: this run's last iteration is trained already. `again`: something was asked for that comes first. */
export async function prepareLaunch(run: Run): Promise<GenerationInput | Instead | 'reached' | 'again'> {
  const { state, crew } = run;
  enterPhase(state, 'check', Date.now());
  show(run);
  const token = await crew.newToken();
  const prepared = await prepare(run, token);
  crew.refresh(prepared.present);
  if (prepared.outcome === 'reached') {
    state.iteration = state.replicated;
    return 'reached';
  }
  if (prepared.outcome === 'other data') return { instead: prepared.series, why: prepared.why };
  if (prepared.outcome === 'incomplete') {
    note(run, `no launch on ${gangOf(run)}: ${prepared.missing}; waits for one more`);
    await crew.oneMore();
    return 'again';
  }
  if (prepared.outcome !== 'ready') {
    if (prepared.outcome === 'gate') await passGate(run);
    return 'again';
  }
  state.iteration = restoredBy(prepared);
  noteReplicated(state, state.iteration);
  run.complete = run.complete.filter(({ iteration }) => iteration <= state.replicated);
  for (const { node, aside } of prepared.aside) noteAside(state, node, aside);
  if (isInterrupted(run)) return 'again';
  state.generation++;
  settingsTried(run);
  run.data = prepared.data;
  // From now on these save and keep copies.
  run.empty.clear();
  return generationOf(run, token, prepared);
}

async function prepare(run: Run, token: number): Promise<Prepared> {
  const { name, state, crew } = run;
  const spec = asItTrains(run);
  const { members, spares } = crew;
  const { workflowId } = workflowInfo();
  const child = `${workflowId}/prepare-${state.generation + 1}`;
  const input = {
    ...{ run: workflowId, name, spec, token, members, spares },
    keepers: crew.keepers.filter((node) => !run.empty.has(node.name)),
    ...{ generation: state.generation, replicated: state.replicated },
    ...(state.generation > 0 && { target: state.target }),
    ...(run.data && { data: run.data }),
    ...(isFewer(run) && { fewerThan: run.spec.cluster.nodes }),
    gate: spec.gates.train !== undefined && !run.passed.includes('train'),
  };
  followPreparation(run, token);
  let isOver = false;
  const relaying = relayEnding(
    child,
    token,
    () => wantedEnding(run),
    () => isOver,
  );
  // When the run is cancelled nobody waits for it.
  relaying.catch(() => undefined);
  const summary = `before generation ${state.generation + 1}, token ${token}`;
  const prepared = await runChild(prepareGeneration, { workflowId: child, input, summary }, waitingOf(run)).finally(
    () => (isOver = true),
  );
  await relaying;
  return prepared;
}

/** What is told of an earlier preparation may still arrive, and is old. */
function followPreparation(run: Run, current: number): void {
  const { state } = run;
  onSignal(preparationNews, ({ token, phase, found, note: text, isKnown, waitsFor, preprocessed, dataset }) => {
    if (token !== current) return;
    if (phase) enterPhase(state, phase, Date.now());
    if (found) {
      for (const node of found.empty) run.empty.add(node);
      const { members, spares } = run.crew;
      run.crew.haveParts([...members, ...spares].map(({ name }) => name).filter((name) => !run.empty.has(name)));
      run.complete = found.complete;
      noteReplicated(state, Math.max(found.iteration, state.replicated));
      if (state.generation === 0) {
        state.iteration = found.iteration;
        state.target = targetOf(run.spec, state.replicated);
      }
    }
    // What is told last, by another workflow, may come after the phase has ended.
    if (preprocessed && state.phase === 'data') state.preprocessed = preprocessed;
    if (dataset) state.dataset = dataset;
    if (waitsFor !== undefined) waitingOf(run)(waitsFor ?? undefined);
    if (text !== undefined && !(isKnown && state.events.some((event) => event.text === text))) note(run, text);
    show(run);
  });
}

const restoredBy = ({ start }: Readiness): number => (start.from === 'checkpoint' ? start.iteration : 0);

function generationOf(run: Run, token: number, prepared: Readiness): GenerationInput {
  const { name, state, crew } = run;
  const spec = asItTrains(run);
  const { start, shared, masterPort, identity, data } = prepared;
  const storages = prepared.storages ?? prepared.partly?.series;
  const { devicesPerNode: devices } = spec.cluster;
  const backend = backendOf(spec);
  const places = backend.places(spec);
  const restored = restoredBy(prepared);
  const { replicas } = spec.train;
  const copies = planCopies(places, crew.members.map(peerOf), crew.spares.map(peerOf), replicas, storages);
  // Of the one storage that all have nobody keeps a copy, nor is one missing.
  if (storages?.length === 1) delete state.copies;
  else state.copies = writersOf(copies);
  noteWriter(state, crew.members.at(-1)!.name);
  const hang = hangLimits(spec, restored, state.pace);
  const plan = {
    ...{ dataPrefix: data.prefix, tokenizer: data.tokenizer.dir, start, target: state.target, shared },
    indexCache: prepared.partly?.datasets && indexCacheApart(data.dataset.dir),
  };
  return {
    run: name,
    series: spec.series,
    generation: state.generation,
    token,
    nodes: crew.members,
    spares: crew.spares,
    writes: places.map(({ writes }) => writes),
    copies,
    ...(storages && { storages }),
    devices,
    masterPort,
    script: backend.script(spec, plan),
    ...backend.model(spec),
    env: backend.environment(spec, crew.members[0]!.address),
    startedFrom: restored,
    // On storage that is shared they have their usual name everywhere, and are found as other saves are.
    ...(hasLastGasps(spec.train.extraArgs) && !shared && !storages && { lastGasps: true as const }),
    ...((start.from === 'checkpoint' || (start.from === 'pretrained' && backend.tellsWeights)) && { loads: restored }),
    ...(start.from === 'pretrained' && isOnline(spec) && { published: publishedSaid(spec) }),
    identity,
    target: state.target,
    ...(hang && { hang }),
    saveInterval: spec.train.saveInterval,
    keepCheckpoints: spec.train.keepCheckpoints,
    ...(spec.train.keepEvery !== undefined && { keepEvery: spec.train.keepEvery }),
    complete: run.complete,
    timing: spec.recovery,
  };
}
