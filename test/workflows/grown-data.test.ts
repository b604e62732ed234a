/** What the next run on the same data does, and on data that has grown, as its history shows it. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createDataActivities } from '../../activities/data-activities.js';
import { makeCorpus } from '../../infra/demo/corpus.js';
import { root } from '../../workers/config.js';
import type { NodeActivities, SourceFile } from '../../workflows/contract.js';
import { lineagesOf } from '../../workflows/lineage.js';
import { DATA } from '../../workflows/series-identity.js';
import { startFakeCluster } from '../support/fake-cluster.js';
import { preparationOf } from '../support/preparation-of-history.js';
import { tempDir } from '../support/temp-dir.js';
import { testNode } from '../support/test-node.js';

it('only the new file is fetched and preprocessed where data has grown by it, and nothing where it has not', async (test) => {
  const texts = await tempDir();
  const models = join(await makeCorpus(join(root, '.cache/demo-hub')), 'models/demo/qwen3-tiny');
  const deps = await testNode('a', { sourceRoots: [texts, models] });
  const cluster = await startFakeCluster(test);
  const pairs: unknown[] = [];
  const launchTraining: NodeActivities['launchTraining'] = async ({ identity }) => void pairs.push(identity?.[DATA]);
  await cluster.node('a', { ...createDataActivities(deps), launchTraining });
  const add = (name: string, ...words: string[]) =>
    writeFile(join(texts, name), words.map((word) => `${JSON.stringify({ text: `${word} of the Union` })}\n`).join(''));
  const one = {
    ...cluster.runFile({ cluster: { nodes: 1 }, parallel: { pp: 1 } }),
    recovery: { heartbeat: '30s', agentAway: '30s' },
  };
  const run = async (id: string) => {
    const workflowId = `${id}-${cluster.pool}`;
    const tokenizer = { source: `file://${models}/tokenizer*` };
    const file = { ...one, series: id, tokenizer, dataset: { source: `file://${texts}/*.jsonl` } };
    await cluster.client.workflow.execute('pretrain', { workflowId, taskQueue: cluster.taskQueue, args: [file] });
    const { fetched, preprocessed } = await preparationOf(cluster.client, workflowId);
    return { fetched, preprocessed };
  };
  const only = (...names: string[]) => ({ fetched: names, preprocessed: names });
  await add('1.jsonl', 'State', 'Fate');
  await add('2.jsonl', 'Wait');

  expect(await run('first')).toEqual(only('1.jsonl', '2.jsonl'));
  expect(await run('second')).toEqual(only());
  await add('3.jsonl', 'Late');
  expect(await run('grown')).toEqual(only('3.jsonl'));
  // By which a series knows whether its data is what it was: made just now, found again, grown.
  const digest = expect.stringMatching(/^[0-9a-f]{12}$/) as string;
  expect(pairs).toEqual([digest, pairs[0], digest]);
  expect(pairs[2]).not.toBe(pairs[0]);

  // What is not what it was begins nothing.
  await add('4.jsonl', 'Hate');
  const datasets = (await readdir(join(deps.dataDir, 'datasets'))).filter((name) => !name.startsWith('.'));
  expect(datasets).toHaveLength(2);
  for (const path of datasets.map((name) => join(deps.dataDir, 'datasets', name, 'prefix_text_document.bin'))) {
    const bytes = await readFile(path);
    await writeFile(path, bytes.fill(7, 0, 1));
  }
  expect(await run('damaged')).toEqual(only('1.jsonl', '2.jsonl', '3.jsonl', '4.jsonl'));
}, 120_000);

it('a file of which nobody says what is in it begins nothing', () => {
  const files = (...changes: Partial<SourceFile>[]) =>
    changes.map((change, n) => ({ path: `${n}`, size: 1, ...change }));
  const names = (...changes: Partial<SourceFile>[]) => lineagesOf('made', 's3://b/*', files(...changes))?.names;
  const [one, two] = names({ sha256: 'a' }, { etag: 'b' })!;
  expect(names({ sha256: 'a' })).toEqual([one]);
  expect(names({ sha256: 'a' }, { etag: 'b' }, { blob: 'c' })!.slice(0, 2)).toEqual([one, two]);
  expect(names({ sha256: 'a' }, {})).toBeUndefined();
  expect(names({ sha256: 'b' }, { etag: 'b' })).not.toContain(two);
  expect(names({ etag: 'b' }, { sha256: 'a' })).not.toContain(two);
  // The same tag at another place is no proof of the same bytes.
  expect(lineagesOf('made', 's3://c/*', files({ sha256: 'a' }, { etag: 'b' }))!.names[1]).not.toBe(two);
});
