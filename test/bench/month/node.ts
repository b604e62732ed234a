/**
 * A node that trains an iteration a minute in simulated time, saves now and then, and fails when its time has come. Time
 * is only skipped while no activity runs, so that what lasts is made of attempts: each does one thing and asks to be
 * called again later. Attempts leave no events, as a watcher that just looks on leaves none.
 */
import { activityInfo } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { quietNode } from '../../support/quiet-node.js';
import type { CheckpointHeld, NodeActivities, NodeInfo, Recipient } from '../../../workflows/contract.js';

/** What all nodes of the simulation know. */
export interface World {
  client: Client;
  /** Iterations, which are minutes, from one fault to the next, and from one save to the next. */
  faultEvery: number;
  saveEvery: number;
  until: number;
  /** Newest save. */
  saved: number;
  shards: string[];
}

const newest = ({ saved: iteration, shards }: World): CheckpointHeld => ({
  iteration,
  shards: shards.map((shard) => ({ shard, digest: `${shard}@${iteration}`, bytes: 1 })),
});

const again = (minutes: number): ApplicationFailure =>
  ApplicationFailure.create({ message: 'goes on', nextRetryDelay: `${minutes} minutes` });

/**
 * The last rank's node reports every minute as long as its generation passes each report on, and then every five: an
 * older one tells its run no more often than that.
 */
const EACH_MINUTE = 200;
const minuteOf = (attempt: number): number => attempt + 4 * Math.max(0, attempt - EACH_MINUTE);

export function nodeOfMonth(world: World, info: NodeInfo): NodeActivities {
  const { faultEvery, saveEvery } = world;
  let from = 0;
  const tell = ({ workflowId }: Recipient, name: string, payload: object) =>
    world.client.workflow.getHandle(workflowId).signal(name, payload);
  return quietNode(info, {
    listCheckpoints: async () => (world.saved > 0 ? [newest(world)] : []),
    launchTraining: async ({ saves }) => void (from = saves.after),
    async watchTraining({ token, reportTo }) {
      const attempt = activityInfo().attempt - 1;
      const minute = reportTo ? minuteOf(attempt) : attempt * 2 * faultEvery;
      const iteration = from + minute;
      const isOver = iteration >= world.until;
      if (reportTo)
        await tell(reportTo, 'trainingProgress', {
          ...{ token, iteration, loss: 2, secondsPerIteration: 60, points: [[iteration, 2]] },
          saved: iteration - (iteration % saveEvery),
        });
      if (isOver)
        return {
          exitCode: 0,
          verdict: { outcome: 'finished', lastIteration: iteration, lastSaved: iteration, loss: 2 },
        };
      // The last rank's node only: the others hang with it.
      if (reportTo && minute >= faultEvery)
        throw ApplicationFailure.nonRetryable('a rank was killed', 'CommandFailed', { exitCode: 1 });
      throw again(reportTo ? minuteOf(attempt + 1) - minute : 2 * faultEvery);
    },
    async replicateCheckpoint({ token, task, after, until, reportTo }) {
      const iteration = after + (activityInfo().attempt - 1) * saveEvery;
      if (iteration > after) {
        world.saved = Math.max(world.saved, iteration);
        await tell(reportTo, 'checkpointReplicated', { token, task, iteration, bytes: 1 });
      }
      if (iteration >= until) return { iteration };
      throw again(saveEvery);
    },
    stopTraining: async () => ({ node: info.name, confirmed: true, logPath: '/log', firstError: 'RuntimeError: odd' }),
  });
}
