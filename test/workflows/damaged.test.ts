/** Bytes that every node has lost: what can be made again is, and what is left of it stays. Real files between real nodes. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { expect, it } from 'vitest';
import { sealArtifact } from '../../activities/artifact.js';
import { createConvertCheckpoint } from '../../activities/convert-checkpoint.js';
import { createDataActivities } from '../../activities/data-activities.js';
import { createListCheckpoints } from '../../activities/list-checkpoints.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { createRestoreCheckpoint } from '../../activities/restore-checkpoint.js';
import type { NodeActivities } from '../../workflows/contract.js';
import { startFakeCluster, type FakeCluster } from '../support/fake-cluster.js';
import { tempDir } from '../support/temp-dir.js';
import { serving, testNode } from '../support/test-node.js';

const SHARD = 'iter_0000001/mp_rank_00_001/model_optim_rng.pt';
const PAIR = 'prefix_text_document.bin';
/** A converter in a checkout's place. */
const CONVERTER = `from=$(echo "$@" | sed 's/.*--load-dir \\([^ ]*\\).*/\\1/')
grep -q good "$from/model.safetensors" || { echo 'no such tensor' >&2; exit 1; }
for out; do :; done
for shard in mp_rank_00_000 mp_rank_00_001; do
  mkdir -p "$out/iter_0000001/$shard"; echo "weights of $shard" > "$out/iter_0000001/$shard/model_optim_rng.pt"
done
echo 1 > "$out/latest_checkpointed_iteration.txt"`;

/** A source of everything, and what makes a run of it. */
async function sources() {
  const [at, mindspeedDir] = [await tempDir(), await tempDir()];
  for (const [path, text] of [
    ['data/a.jsonl', '{"text":"a"}\n'],
    ['tokenizer/tokenizer.json', '{"version":"1.0"}'],
    ['weights/config.json', '{}'],
    ['weights/model.safetensors', 'good weights'],
  ] as const) {
    await mkdir(join(at, path, '..'), { recursive: true });
    await writeFile(join(at, path), text);
  }
  for (const name of ['convert_ckpt.py', 'convert_ckpt_v2.py']) await writeFile(join(mindspeedDir, name), CONVERTER);
  const file = (cluster: FakeCluster) => ({
    ...cluster.runFile(),
    model: { preset: 'qwen3-tiny', init: 'pretrained', weights: `file://${at}/weights` },
    tokenizer: { source: `file://${at}/tokenizer` },
    dataset: { source: `file://${at}/data/*.jsonl` },
  });
  return { at, mindspeedDir, file };
}

/** A node that keeps its files on a disk of its own; nothing trains there. */
async function nodeWithDisk(
  cluster: FakeCluster,
  name: string,
  { at, mindspeedDir }: { at: string; mindspeedDir: string },
  changes: (real: NodeActivities) => Partial<NodeActivities> = () => ({}),
): Promise<NodeDeps> {
  const { PATH = '' } = process.env;
  const more = { mindspeedDir, python: 'bash', env: { PATH }, sourceRoots: [at] };
  const deps = await testNode(`${name}-${cluster.pool}`, more);
  const { url, token: access } = await serving(deps);
  const info = { name: deps.name, address: '127.0.0.1', port: Number(new URL(url).port), devices: 1 };
  const data = createDataActivities(deps);
  const convert = createConvertCheckpoint(deps);
  const made = async (dir: string, text: string) => {
    await mkdir(join(deps.dataDir, dir), { recursive: true });
    await writeFile(join(deps.dataDir, dir, PAIR), text);
    return { artifact: await sealArtifact(deps.dataDir, dir, [PAIR]), documents: 1, tokens: 1 };
  };
  const real: Partial<NodeActivities> = {
    ...data,
    fenceNode: ({ token }) =>
      Promise.resolve({
        ...{ ...info, profile: 'cpu', token, access: access! },
        ...{ checkpoints: [], saves: { iterations: [] } },
      }),
    preprocessShard: ({ key }) => made(`datasets/${key}/shards/0`, 'tokens'),
    mergeShards: ({ key }) => made(`datasets/${key}`, 'tokens'),
    // What the converter is to make is the business of its own tests.
    convertCheckpoint: ({ holds: _, ...input }) => convert(input),
    listCheckpoints: createListCheckpoints(deps),
    restoreCheckpoint: createRestoreCheckpoint(deps),
  };
  await cluster.node(name, { ...real, ...changes(real as NodeActivities) });
  return deps;
}

const find = async ({ dataDir }: NodeDeps, wanted: RegExp): Promise<string[]> =>
  (await readdir(dataDir, { recursive: true })).filter((path) => wanted.test(path)).map((path) => join(dataDir, path));

async function damage(nodes: NodeDeps[], wanted: RegExp): Promise<void> {
  const paths = (await Promise.all(nodes.map((node) => find(node, wanted)))).flat();
  expect(paths.length).toBeGreaterThan(0);
  for (const path of paths) await writeFile(path, (await readFile(path, 'utf8')).replace(/.$/m, '#'));
}

async function ran(cluster: FakeCluster, file: object): Promise<{ page: string; failure?: ApplicationFailure }> {
  const options = { workflowId: `run-${crypto.randomUUID()}`, taskQueue: cluster.taskQueue, args: [file] };
  const handle = await cluster.client.workflow.start('pretrain', options);
  const failed = await handle.result().then(
    () => undefined,
    (error: unknown) => error,
  );
  const page = await handle.query<string>('status');
  if (failed === undefined) return { page };
  if (failed instanceof WorkflowFailedError && failed.cause instanceof ApplicationFailure)
    return { page, failure: failed.cause };
  throw failed as Error;
}

const WEIGHTS = /^models\/[^/]+\/mcore[^/]+\/iter_0000001\/mp_rank_00_001\/model_optim_rng\.pt$/;
const DATASET = /^datasets\/[^/]+\/prefix_text_document\.bin$/;
const TOKENIZER = /^models\/[^/]+\/tokenizer\/tokenizer\.json$/;
const SOURCE = /^models\/[^/]+\/hf\/model\.safetensors$/;

it(
  'weights, dataset and tokenizer that every node has lost are made anew, and what is left of them is set aside',
  async (test) => {
    const [cluster, from] = [await startFakeCluster(test), await sources()];
    let spoil = false;
    const nodes = [
      await nodeWithDisk(cluster, 'a', from, ({ convertCheckpoint }) => ({
        async convertCheckpoint(input) {
          const held = await convertCheckpoint(input);
          if (spoil) await damage(nodes.slice(0, 1), WEIGHTS);
          return held;
        },
      })),
      await nodeWithDisk(cluster, 'b', from),
    ];
    const [a, b] = nodes as [NodeDeps, NodeDeps];
    expect(await ran(cluster, from.file(cluster))).not.toHaveProperty('failure');

    for (const wanted of [WEIGHTS, DATASET, TOKENIZER]) await damage(nodes, wanted);
    await damage([a], SOURCE);
    const { page, failure } = await ran(cluster, from.file(cluster));
    expect(failure).toBeUndefined();
    for (const [wanted, again, name] of [
      [WEIGHTS, 'converted', SHARD],
      [DATASET, 'made', PAIR],
      [TOKENIZER, 'made', 'tokenizer.json'],
    ] as const) {
      const paths = (await Promise.all(nodes.map((node) => find(node, wanted)))).flat();
      for (const path of paths) expect(await readFile(path, 'utf8')).not.toContain('#');
      for (const node of nodes) {
        const kept = await find(node, new RegExp(`set-aside/.*/${name}$`));
        expect(kept).toHaveLength(1);
        expect(await readFile(kept[0]!, 'utf8')).toContain('#');
        expect(page).toContain(`${node.name} (${name}; now in <data>/`);
      }
      expect(page).toMatch(new RegExp(`is damaged on .*: set aside until somebody removes it, and ${again} anew`));
    }
    const [reason] = await find(b, /models\/.*set-aside\/.*\/mcore.*\.reason\.json$/);
    expect(JSON.parse(await readFile(reason!, 'utf8'))).toMatchObject({ files: [{ path: SHARD, size: 26 }] });

    // And where the new ones are no better, that is all.
    await damage(nodes, WEIGHTS);
    spoil = true;
    const second = await ran(cluster, from.file(cluster));
    expect(second.failure).toMatchObject({ type: 'DataCorrupt' });
    expect(second.failure!.message).toMatch(/no good copy of mp_rank_00_001 of iteration 1 on a-/);
    expect(second.page).toContain('and converted anew');
  },
  // Three runs, one after the other.
  180_000,
);
