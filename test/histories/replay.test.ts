/** A control worker of this version takes over what one of an earlier version began: `npm run record-histories` records it. */
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { expect, inject, it } from 'vitest';

const here = fileURLToPath(new URL('.', import.meta.url));
const recorded = (readdirSync(here, { recursive: true }) as string[])
  .filter((path) => path.endsWith('.json.gz'))
  .sort();

interface Recorded {
  events: { workflowExecutionStartedEventAttributes: { workflowId: string } }[];
}

Runtime.install({ logger: new DefaultLogger('ERROR') });

it('there are runs that were asked things, that lost a node, and the pool that they shared', () => {
  const names = new Set(recorded.map((path) => /([^/]+)-[0-9a-f]{8}\.json\.gz$/.exec(path)?.[1]));
  expect([...names]).toEqual(expect.arrayContaining(['talk', 'wounded', 'wounded_gen-2', 'pool-demo']));
});

it.each(recorded)('%s is replayed as it was recorded', async (path) => {
  const history = JSON.parse(gunzipSync(readFileSync(`${here}/${path}`)).toString()) as Recorded;
  const { workflowId } = history.events[0]!.workflowExecutionStartedEventAttributes;
  await Worker.runReplayHistory({ workflowBundle: { codePath: inject('workflowBundlePath') } }, history, workflowId);
});
