/** The control worker: runs the workflows and what belongs to no node. */
import { fileURLToPath } from 'node:url';
import { Runtime, Worker } from '@temporalio/worker';
import { errorCode } from '../activities/atomic.js';
import { createControlActivities } from '../activities/control.js';
import { reasonOf } from '../activities/failures.js';
import { readControlConfig, readMetricsConfig } from './config.js';
import { connect, installRuntime } from './connect.js';
import { startDashboard, type Dashboard, type DashboardOptions } from './dashboard.js';
import { leaveSignalsToWorker } from './early-signals.js';
import { measurePools } from './pool-metrics.js';
import { measureRuns } from './run-metrics.js';
import { measureServer } from './server-metrics.js';

/**
 * How long one workflow task may compute. The SDK's own 5 s are wall time, and where a busy machine exceeds them Node
 * aborts the process (sdk-typescript#939). The option is not among the SDK's public ones yet.
 */
export const workflowPatience: object = { isolateExecutionTimeout: '1 minute' };

export async function runControl(): Promise<void> {
  const { identity, reports, dashboard, pages } = readControlConfig();
  installRuntime();
  const { metricMeter, logger } = Runtime.instance();
  const stopAsking = readMetricsConfig() && measureServer(metricMeter);
  const { native, client, namespace, dataConverter, close } = await connect();
  const [codec] = dataConverter.payloadCodecs ?? [];
  const page = dashboard && (await startPage({ client, ...dashboard, ...(codec && { codec: { codec, pages } }) }));
  const warn = (reason: unknown) => void logger.warn(`a run or a pool was not measured: ${reasonOf(reason)}`);
  const measured = readMetricsConfig() ? [measureRuns, measurePools] : [];
  const stopMeasuring = measured.map((measure) => measure(client, metricMeter, warn));
  try {
    const worker = await Worker.create({
      connection: native,
      namespace,
      dataConverter,
      identity,
      taskQueue: 'pretrain',
      workflowBundle: { codePath: fileURLToPath(new URL('../workflow-bundle.js', import.meta.url)) },
      activities: createControlActivities({ client, reports }),
      ...workflowPatience,
      shutdownGraceTime: '5s',
      shutdownForceTime: '15s',
    });
    const look = page ? `, and shows its page at ${page.url}` : '';
    process.stdout.write(`control worker ${identity} is ready on task queue pretrain${look}\n`);
    const running = worker.run();
    leaveSignalsToWorker();
    await running;
  } finally {
    stopAsking?.();
    for (const stop of stopMeasuring) stop();
    await page?.close();
    await close();
  }
}

/** A port that nobody chose and that somebody has, such as another control worker here, is no reason not to work. */
async function startPage({
  isDefault,
  ...options
}: DashboardOptions & { isDefault: boolean }): Promise<Dashboard | undefined> {
  try {
    return await startDashboard(options);
  } catch (error) {
    if (errorCode(error) !== 'EADDRINUSE') throw error;
    const message = `PRETRAIN_DASHBOARD: ${options.host}:${options.port} is taken by another program`;
    if (!isDefault) throw new Error(message, { cause: error });
    process.stderr.write(`${message}: this control worker shows no page\n`);
    return undefined;
  }
}
