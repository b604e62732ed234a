/** Plays one case on a cluster: starts its run, waits for each step's moment, strikes, and sees the run to its end. */
import type { WorkflowHandle } from '@temporalio/client';
import { demoRunFile } from '../../infra/demo/run-file.js';
import { pause } from '../../infra/demo/part.js';
import { ITERATIONS, LEASE, SAVE_INTERVAL, type Case, type Step, type When } from './cases.js';
import { POOL, type Cluster, type Machine } from './cluster.js';
import { faults, NothingThere } from './faults.js';
import { observe, type ObservedRun, type Role } from './observed-run.js';
import { startRecorder, type Recorder } from './recorder.js';

/** A fault as it struck. */
export interface Strike {
  fault: string;
  node: string;
  at: number;
  /** Generation and its last iteration at that moment. */
  generation: number;
  iteration: number;
}

export interface Played {
  id: string;
  series: string;
  /** Ids of the case's runs, oldest first. */
  runs: string[];
  strikes: Strike[];
  recorders: Recorder[];
  /** How the last run ended. */
  ended: { result: Record<string, unknown> } | { failure: string; type: string | undefined } | 'never';
  seconds: number;
}

/**
 * How long a run may take, faults and all, before it counts as hanging; and how long a moment may be waited for. An agent
 * alone, when it is gone for good, is waited for two minutes (`agentGrace`).
 */
const PATIENCE_SECONDS = 240;
const LOOK_EVERY_MS = 10;

export async function play(cluster: Cluster, case_: Case): Promise<Played> {
  const began = Date.now();
  const series = case_.name;
  const disks = Object.fromEntries([...cluster.nodes].map(([name, { host }]) => [name, host.data]));
  const played: Played = { id: series, series, runs: [], strikes: [], recorders: [], ended: 'never', seconds: 0 };
  const targets = case_.endsFirstAt ? [case_.endsFirstAt, undefined] : [undefined];
  const steps = [...case_.steps];
  for (const endsAt of targets) {
    const id = targets.length > 1 ? `${series}-${played.runs.length + 1}` : series;
    const file = runFileOf(case_, series, endsAt);
    const handle = await cluster.client.workflow.start('pretrain', {
      workflowId: id,
      taskQueue: 'pretrain',
      args: [file],
    });
    const recorder = startRecorder(disks, id);
    const run = observe(cluster, { id, series, handle, recorder });
    played.id = id;
    played.runs.push(id);
    played.recorders.push(recorder);
    const ended = endOf(handle);
    const between = steps.findIndex(({ when }) => when === 'between runs');
    const mine = endsAt === undefined || between < 0 ? steps.splice(0) : steps.splice(0, between);
    const options = { mayEndBefore: case_.mayEndBefore === true };
    await strikeAll(cluster, run, mine, played, ended, options);
    played.ended = await Promise.race([ended, pause(PATIENCE_SECONDS * 1000).then(() => 'never' as const)]);
    await run.page();
    await recorder.stop();
    if (endsAt === undefined) break;
    await strikeAll(
      cluster,
      run,
      steps.splice(0).map((step) => ({ ...step, when: { seconds: 0 } })),
      played,
      ended,
    );
  }
  return { ...played, seconds: (Date.now() - began) / 1000 };
}

function runFileOf(case_: Case, series: string, endsAt: number | undefined) {
  const { cluster, replicas, recovery, lease = LEASE } = case_;
  const base = demoRunFile(POOL, { iterations: ITERATIONS, saveInterval: SAVE_INTERVAL });
  return {
    ...base,
    series,
    ...(case_.exports && { export: {} }),
    cluster: { ...(base['cluster'] as object), ...cluster },
    train: {
      ...(base['train'] as object),
      ...(replicas !== undefined && { replicas }),
      ...(endsAt !== undefined && { iterationsPerRun: endsAt }),
    },
    recovery: { heartbeat: '4s', agentAway: '5s', lease, stopGrace: '3s', ...recovery },
  };
}

const endOf = (handle: WorkflowHandle): Promise<Exclude<Played['ended'], 'never'>> =>
  handle.result().then(
    (result) => ({ result: result as Record<string, unknown> }),
    (error: Error & { cause?: Error & { type?: string } }) => ({
      failure: error.cause?.message ?? error.message,
      type: error.cause?.type,
    }),
  );

async function strikeAll(
  cluster: Cluster,
  run: ObservedRun,
  steps: Step[],
  played: Played,
  ended: Promise<unknown>,
  { mayEndBefore = false } = {},
): Promise<void> {
  const over = { yet: false };
  void ended.finally(() => (over.yet = true));
  let node = [...cluster.nodes.values()][0]!;
  const off = new Set<string>();
  /** The run may not have noticed yet that the one it names is switched off, nor found another. */
  const nodeOf = async (role: Exclude<Role, 'control'>, since: number): Promise<Machine> => {
    for (;;) {
      const isLast = off.size === 0 || over.yet || Date.now() - since > PATIENCE_SECONDS * 1000;
      const name = await run.nodeOf(role).catch((error: unknown) => {
        if (isLast) throw error;
      });
      if (name !== undefined && (isLast || !off.has(name))) return cluster.nodes.get(name)!;
      await pause(LOOK_EVERY_MS);
    }
  };
  for (const { when, do: name, to } of steps) {
    const since = Date.now();
    while (!(await isNow(run, when, since))) {
      if (Date.now() - since > PATIENCE_SECONDS * 1000)
        throw new Error(`the moment for ${name} never came: ${JSON.stringify(when)}`);
      if (over.yet && !isRepair(when)) {
        if (mayEndBefore) break;
        throw new Error(`the run ended before the moment for ${name}: ${JSON.stringify(when)}`);
      }
      await pause(LOOK_EVERY_MS);
    }
    if (mayEndBefore && over.yet && !isRepair(when)) return;
    // Whoever is hurt later may be asked for when nobody can tell any more.
    if (to === 'control') await run.page();
    for (let isStruck = false; !isStruck;) {
      if (to !== 'same' && to !== 'control') node = await nodeOf(to, since);
      const generation = run.recorder.generation();
      const iteration = run.recorder.reached(generation);
      const struckNode = to === 'control' ? 'control' : node.host.name;
      played.strikes.push({ fault: name, node: struckNode, at: Date.now(), generation, iteration });
      isStruck = await faults[name]({ cluster, run, node }).then(
        () => true,
        (error: unknown) => {
          // The gang of that moment is no more, and the next one may be on other nodes.
          const isOver = (over.yet && !mayEndBefore) || Date.now() - since > PATIENCE_SECONDS * 1000;
          if (!(error instanceof NothingThere) || to === 'same' || isOver) throw error;
          played.strikes.pop();
          return false;
        },
      );
      if (!isStruck && over.yet) return;
      if (name === 'killHost') off.add(node.host.name);
      if (name === 'startHost') off.delete(node.host.name);
    }
  }
}

/** What brings something back is done also after the end: the checker looks at a whole cluster. */
const isRepair = (when: When): boolean => typeof when === 'object' && 'seconds' in when;

async function isNow(run: ObservedRun, when: When, since: number): Promise<boolean> {
  if (when === 'between runs') return true;
  if ('seconds' in when) return Date.now() - since >= when.seconds * 1000;
  const { recorder } = run;
  if ('iteration' in when) return recorder.reached(when.generation ?? recorder.generation()) >= when.iteration;
  if ('phase' in when) {
    const page = await run.page();
    return page.phase === when.phase && page.generation >= (when.generation ?? 0);
  }
  if ('inFlight' in when) {
    const node = await run.nodeOf(when.on).catch(() => undefined);
    return node !== undefined && (await run.inFlight(when.inFlight)).includes(node);
  }
  if ('copied' in when) return (await run.copied()) >= when.copied;
  if ('saving' in when) return run.isSaving(when.saving);
  if ('launched' in when) return recorder.generation() >= when.launched;
  return (await run.page()).generation >= when.generation;
}
