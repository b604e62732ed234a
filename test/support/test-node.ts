import { join } from 'node:path';
import type { Info } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { onTestFinished } from 'vitest';
import type { NodeDeps } from '../../activities/node-deps.js';
import { startFileService } from '../../activities/file-service.js';
import { grantAccess } from '../../activities/grants.js';
import { root } from '../../workers/config.js';
import type { Peer } from '../../workflows/contract.js';
import { tempDir } from './temp-dir.js';

/** What a node's activities are given, with a data directory of its own. */
export async function testNode(name: string, more: Partial<NodeDeps> = {}): Promise<NodeDeps> {
  return {
    name,
    address: '127.0.0.1',
    port: 0,
    dataDir: await tempDir(),
    mindspeedDir: '/nonexistent',
    python: 'python3',
    pairTest: join(root, 'infra/collective-test/pair.py'),
    profile: 'cpu',
    devices: 1,
    env: {},
    signal: () => Promise.resolve(),
    retention: () => Promise.resolve(undefined),
    ...more,
  };
}

/** The node's file service, until the test ends. */
export async function serving({ name, dataDir }: NodeDeps): Promise<Peer> {
  const { port, close } = await startFileService({ dataDir, host: '127.0.0.1', port: 0, name });
  onTestFinished(close);
  const token = await grantAccess(dataDir, { run: 'r', series: 's' });
  return { name, url: `http://127.0.0.1:${port}`, token };
}

/** Runs one activity as a worker would, outside of one. */
export const run = <I, O>(activity: (input: I) => Promise<O>, input: I, info: Partial<Info> = {}): Promise<O> =>
  new MockActivityEnvironment(info, { logger: new DefaultLogger('ERROR') }).run(activity, input);
