/** The node worker: one agent a node, on the task queue `node-<name>`, beside the node's file service. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkflowNotFoundError } from '@temporalio/client';
import { Runtime, Worker } from '@temporalio/worker';
import { errorCode, writeFileAtomic } from '../activities/atomic.js';
import { createNodeActivities } from '../activities/node.js';
import { reasonOf } from '../activities/failures.js';
import type { NodeDeps } from '../activities/node-deps.js';
import { ascendEnvironment } from '../activities/npu/environment.js';
import { startFileService, type FileService } from '../activities/file-service.js';
import type { Recipient } from '../workflows/contract.js';
import type { Retention } from '../workflows/retention.js';
import { onlyAgent } from './agent-lock.js';
import {
  commandEnvironment,
  readHubTokens,
  readMetricsConfig,
  readNodeConfig,
  root,
  type NodeConfig,
} from './config.js';
import { connect, installRuntime, type Connected } from './connect.js';
import { endSilent, proveUsable, watchDirectory } from './data-directory.js';
import { leaveSignalsToWorker } from './early-signals.js';
import { countTransfers, measureNode } from './node-metrics.js';
import { identityOf, onlyOfName } from './one-name.js';
import { onlyNodeOf } from './own-directory.js';
import { joinPool } from './pool-member.js';
import { measureServer } from './server-metrics.js';

export async function runNode(): Promise<void> {
  const config = readNodeConfig();
  const silent = () => endSilent(config.data);
  await proveUsable(config.data, silent);
  const unlock = await onlyAgent(config.data);
  await onlyNodeOf(config.data, config.name);
  installRuntime({ node: config.name });
  const { metricMeter, logger } = Runtime.instance();
  const warn = (reason: unknown) => void logger.warn(`the node's disk was not measured: ${reasonOf(reason)}`);
  const stopMeasuring = readMetricsConfig()
    ? [measureNode(config.data, metricMeter, warn), measureServer(metricMeter)]
    : [];
  const stopAsking = watchDirectory(config.data, silent);
  const { onReceived, onSent } = countTransfers(metricMeter);
  const files = await startFiles(config, onSent);
  const connected = await connect();
  try {
    const { name, pool, address, devices, profile } = config;
    const deps: NodeDeps = {
      ...{ name, pool, address, port: files.port, devices, profile },
      dataDir: config.data,
      mindspeedDir: config.mindspeed,
      ...(config.checkout && { checkout: config.checkout }),
      python: config.python,
      pairTest: join(root, 'infra/collective-test/pair.py'),
      root: config.root,
      env: profile === 'npu' ? await ascendEnvironment(commandEnvironment(config)) : commandEnvironment(config),
      ...(config.sources && { sourceRoots: config.sources.split(':') }),
      ...(config.exports && { exportRoots: config.exports.split(':') }),
      ...(config.hfEndpoint && { hfEndpoint: config.hfEndpoint }),
      ...(config.hfToken && { hfToken: config.hfToken }),
      ...(config.modelscopeEndpoint && { modelscopeEndpoint: config.modelscopeEndpoint }),
      hubTokens: readHubTokens(),
      ...(config.modelscopeToken && { modelscopeToken: config.modelscopeToken }),
      ...(config.tlsCert && { tls: true }),
      ...(config.tlsCa && { peerCa: await readFile(config.tlsCa, 'utf8') }),
      ...(config.copyRate && { copyRate: config.copyRate * 1e6 }),
      onReceived,
      signal: (to, signalName, payload) => signal(connected, to, signalName, payload),
      retention: (of) => retention(connected, of),
    };
    await onlyOfName(connected.client, deps);
    const activities = createNodeActivities(deps);
    const worker = await Worker.create({
      connection: connected.native,
      namespace: connected.namespace,
      dataConverter: connected.dataConverter,
      identity: identityOf(deps),
      taskQueue: `node-${name}`,
      activities,
      // A few at once, never one: a stop must not queue behind a watch.
      maxConcurrentActivityTaskExecutions: 16,
      maxConcurrentActivityTaskPolls: 2,
      shutdownGraceTime: '5s',
      shutdownForceTime: '15s',
    });
    const running = worker.run();
    leaveSignalsToWorker();
    const leave = await joinPool(connected.client, pool, activities.pingNode);
    process.stdout.write(`node worker ${name} (${address}:${files.port}, ${devices} × ${profile}) is ready\n`);
    await running.finally(leave);
  } finally {
    for (const stop of stopMeasuring) stop();
    stopAsking();
    await connected.close();
    await files.close();
    await unlock();
  }
}

/**
 * Peers keep the address of a lease's nodes, so a restarted worker comes back on the port it had; where somebody else
 * has that by now, on another, which runs hear of at their next launch. A port that a person chose is not given up.
 */
async function startFiles(
  { name, address, port, data, tlsCert, tlsKey }: NodeConfig,
  onSent: (bytes: number) => void,
): Promise<FileService> {
  const tls =
    tlsCert && tlsKey ? { cert: await readFile(tlsCert, 'utf8'), key: await readFile(tlsKey, 'utf8') } : undefined;
  const kept = join(data, 'file-service-port');
  const before = port || portIn(await readFile(kept, 'utf8').catch(() => ''));
  const on = (wanted: number) => startFileService({ dataDir: data, host: address, port: wanted, name, tls, onSent });
  const service = await on(before).catch((error: unknown) => {
    if (['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN'].includes(errorCode(error) ?? ''))
      throw new Error(`PRETRAIN_ADDRESS: ${address} is no address of this machine`);
    if (errorCode(error) !== 'EADDRINUSE') throw error;
    if (port) throw new Error(`PRETRAIN_PORT: ${address}:${port} is taken by another program. Choose another port`);
    return on(0);
  });
  if (service.port !== before) await writeFileAtomic(kept, String(service.port));
  return service;
}

/** What was kept may be damaged: then any port will do. */
const portIn = (text: string): number => (/^\d{1,5}$/.test(text.trim()) ? Math.min(Number(text), 65_535) : 0);

async function signal(
  { client }: Connected,
  { workflowId, runId }: Recipient,
  name: string,
  payload: unknown,
): Promise<void> {
  try {
    await client.workflow.getHandle(workflowId, runId).signal(name, payload);
  } catch (error) {
    // The run that asked has closed or continued as new; whoever watches now is told by its own watcher.
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}

/** No answer is an answer here: without a control worker there is nobody to ask, and nothing is thrown away meanwhile. */
const retention = ({ client }: Connected, { workflowId, runId }: Recipient): Promise<Retention | undefined> =>
  client.workflow
    .getHandle(workflowId, runId)
    .query<Retention>('retained')
    .catch(() => undefined);
