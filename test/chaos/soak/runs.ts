/** The runs of a soak, one after the other, of one series: each goes on from where the one before ended. */
import { WorkflowFailedError } from '@temporalio/client';
import { pause } from '../../../infra/demo/part.js';
import { demoRunFile } from '../../../infra/demo/run-file.js';
import { SAVE_INTERVAL } from '../cases.js';
import { POOL, type Cluster } from '../cluster.js';
import { observe, type ObservedRun } from '../observed-run.js';
import type { Played } from '../play.js';
import { startRecorder } from '../recorder.js';

export const SERIES = 'soak';
export const LEASE_SECONDS = 60;

/** Faults come by the hundred here: a run gives up for none of them. */
const PATIENT = { aDay: 10_000, aRun: 10_000 };
const PATIENT_NODE = { ...PATIENT, aNode: 1_000 };
const RECOVERY = {
  ...{ heartbeat: '10s', agentAway: '10s', lease: `${LEASE_SECONDS}s`, stopGrace: '5s', maxFailures: 10_000 },
  limits: {
    ...{ withoutProgress: 100, node: PATIENT, user: PATIENT, hardware: PATIENT_NODE, network: PATIENT_NODE },
    ...{ environment: PATIENT_NODE, leftover: PATIENT_NODE, numeric: PATIENT_NODE, hang: PATIENT_NODE },
    unknown: PATIENT_NODE,
  },
};

export interface Runs {
  played: Played;
  /** How runs failed; none was to. */
  failed: string[];
  /** The newest run. */
  current(): ObservedRun | undefined;
  /** Starts a run of so many iterations and waits until it has ended. */
  train(iterations: number): Promise<void>;
}

/** @param total iterations of the series, more than a soak trains */
export function createRuns(cluster: Cluster, total: number): Runs {
  const disks = Object.fromEntries([...cluster.nodes].map(([name, { host }]) => [name, host.data]));
  const played: Played = {
    id: SERIES,
    series: SERIES,
    runs: [],
    strikes: [],
    recorders: [],
    ended: 'never',
    seconds: 0,
  };
  const failed: string[] = [];
  let current: ObservedRun | undefined;

  async function start(id: string, iterationsPerRun: number): Promise<ObservedRun['handle']> {
    const base = demoRunFile(POOL, { iterations: total, saveInterval: SAVE_INTERVAL });
    const train = { ...(base['train'] as object), iterationsPerRun };
    return cluster.client.workflow.start('pretrain', {
      workflowId: id,
      taskQueue: 'pretrain',
      // A server that is killed may have started it and not said so.
      workflowIdConflictPolicy: 'USE_EXISTING',
      args: [{ ...base, series: SERIES, train, recovery: RECOVERY }],
    });
  }

  return {
    played,
    failed,
    current: () => current,
    async train(iterations) {
      const id = `${SERIES}-${played.runs.length + 1}`;
      const handle = await whileServerIsAway(() => start(id, iterations));
      const recorder = startRecorder(disks, id);
      current = observe(cluster, { id, series: SERIES, handle, recorder });
      played.runs.push(id);
      played.recorders.push(recorder);
      played.ended = 'never';
      played.ended = await whileServerIsAway(() => endOf(handle));
      await recorder.stop();
      if ('failure' in played.ended) failed.push(`${id} failed: ${played.ended.failure}`);
    },
  };
}

async function endOf(handle: ObservedRun['handle']): Promise<Exclude<Played['ended'], 'never'>> {
  try {
    return { result: (await handle.result()) as Record<string, unknown> };
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const cause = error.cause as (Error & { type?: string }) | undefined;
    return { failure: cause?.message ?? error.message, type: cause?.type ?? cause?.name };
  }
}

/** Whoever waits for an answer may lose the server, which says nothing of the run. */
async function whileServerIsAway<T>(ask: () => Promise<T>): Promise<T> {
  for (let told = false; ; await pause(1000))
    try {
      return await ask();
    } catch (error) {
      if (!told)
        process.stderr.write(`waiting for the server: ${error instanceof Error ? error.message : String(error)}\n`);
      told = true;
    }
}
