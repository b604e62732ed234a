/** The control worker: runs the workflows and what belongs to no node. */
import { fileURLToPath } from 'node:url';
import { Worker } from '@temporalio/worker';
import { createControlActivities } from '../activities/control.js';
import { readControlConfig } from './config.js';
import { connect, installRuntime } from './connect.js';

/**
 * How long one workflow task may compute. The SDK's own 5 s are wall time, and where a busy machine exceeds them Node
 * aborts the process (sdk-typescript#939). The option is not among the SDK's public ones yet.
 */
export const workflowPatience: object = { isolateExecutionTimeout: '1 minute' };

export async function runControl(): Promise<void> {
  const { identity, reports } = readControlConfig();
  installRuntime();
  const { native, client, namespace, close } = await connect();
  try {
    const worker = await Worker.create({
      connection: native,
      namespace,
      identity,
      taskQueue: 'pretrain',
      workflowBundle: { codePath: fileURLToPath(new URL('../workflow-bundle.js', import.meta.url)) },
      activities: createControlActivities({ client, reports }),
      ...workflowPatience,
      shutdownGraceTime: '5s',
      shutdownForceTime: '15s',
    });
    process.stdout.write(`control worker ${identity} is ready on task queue pretrain\n`);
    await worker.run();
  } finally {
    await close();
  }
}
