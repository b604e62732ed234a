/** The node worker: one agent a node, on the task queue `node-<name>`, beside the node's file service. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkflowNotFoundError } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import { writeFileAtomic } from '../activities/atomic.js';
import { createNodeActivities } from '../activities/node.js';
import { ascendEnvironment } from '../activities/npu/environment.js';
import { startFileService } from '../activities/transfer.js';
import type { NodeInfo, Recipient } from '../workflows/contract.js';
import { onlyAgent } from './agent-lock.js';
import { commandEnvironment, readNodeConfig, type NodeConfig } from './config.js';
import { connect, installRuntime, type Connected } from './connect.js';

export async function runNode(): Promise<void> {
  const config = readNodeConfig();
  await mkdir(config.data, { recursive: true });
  const unlock = await onlyAgent(config.data);
  installRuntime();
  const files = await startFiles(config);
  const connected = await connect();
  try {
    const info: NodeInfo = {
      name: config.name,
      address: config.address,
      port: files.port,
      devices: config.devices,
      profile: config.profile,
    };
    const worker = await Worker.create({
      connection: connected.native,
      namespace: connected.namespace,
      identity: config.name,
      taskQueue: `node-${config.name}`,
      activities: createNodeActivities({
        ...info,
        dataDir: config.data,
        mindspeedDir: config.mindspeed,
        python: config.python,
        env:
          config.profile === 'npu' ? await ascendEnvironment(commandEnvironment(config)) : commandEnvironment(config),
        ...(config.hfEndpoint && { hfEndpoint: config.hfEndpoint }),
        ...(config.hfToken && { hfToken: config.hfToken }),
        signal: (to, name, payload) => signal(connected, to, name, payload),
        replicated: (of) => replicated(connected, of),
      }),
      // A few at once, never one: a stop must not queue behind a watch.
      maxConcurrentActivityTaskExecutions: 16,
      maxConcurrentActivityTaskPolls: 2,
      shutdownGraceTime: '5s',
      shutdownForceTime: '15s',
    });
    const running = worker.run();
    await joinPool(connected, config.pool, info);
    process.stdout.write(
      `node worker ${config.name} (${config.address}:${files.port}, ${config.devices} × ${config.profile}) is ready\n`,
    );
    await running;
  } finally {
    await connected.close();
    await files.close();
    await unlock();
  }
}

/** Peers keep the address of a lease's nodes, so a restarted worker comes back on the port it had. */
async function startFiles({ name, address, port, data }: NodeConfig) {
  const kept = join(data, 'file-service-port');
  const before = port || Number(await readFile(kept, 'utf8').catch(() => '0'));
  const service = await startFileService({ dataDir: data, host: address, port: before, name });
  if (service.port !== before) await writeFileAtomic(kept, String(service.port));
  return service;
}

const joinPool = ({ client }: Connected, pool: string, info: NodeInfo) =>
  client.workflow.signalWithStart('nodePool', {
    workflowId: `pool-${pool}`,
    taskQueue: 'pretrain',
    signal: 'join',
    signalArgs: [info],
  });

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
const replicated = ({ client }: Connected, { workflowId, runId }: Recipient): Promise<number | undefined> =>
  client.workflow
    .getHandle(workflowId, runId)
    .query<number>('replicated')
    .catch(() => undefined);
