/** Whether the Temporal server answers this worker, for whoever is to be told when it does not: nothing else says so. */
import { Connection } from '@temporalio/client';
import type { MetricMeter } from '@temporalio/common';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { regularly } from './regularly.js';

const ASK_EVERY_MS = 10_000;
/** An answer that takes longer is none. */
const ANSWER_WITHIN_MS = 5_000;

/** Each with its help text. A name is for dashboards and alerts of others: change none. */
export const SERVER_GAUGES = {
  pretrain_worker_server_silent_seconds: 'How long the Temporal server has not answered this worker; 0 while it does',
} as const;

/**
 * Asks over a connection of its own, from before the worker has one: a worker that starts without its server tells it too.
 * @returns what ends it
 */
export function measureServer(meter: Pick<MetricMeter, 'createGauge'>, askEveryMs = ASK_EVERY_MS): () => void {
  const name = 'pretrain_worker_server_silent_seconds';
  const gauge = meter.createGauge(name, 'float', undefined, SERVER_GAUGES[name]);
  const connection = Connection.lazy({
    ...loadClientConnectConfig().connectionOptions,
    // gRPC waits two minutes between its attempts by then, and a server that is back would count as silent.
    channelArgs: { 'grpc.max_reconnect_backoff_ms': askEveryMs },
  });
  let answered = Date.now();
  const ask = async (): Promise<void> => {
    await connection.withDeadline(Date.now() + ANSWER_WITHIN_MS, () => connection.workflowService.getSystemInfo({}));
    answered = Date.now();
    gauge.set(0);
  };
  const stop = regularly(askEveryMs, ask, () => gauge.set((Date.now() - answered) / 1000));
  return () => {
    stop();
    void connection.close().catch(() => undefined);
  };
}
