/** Distributed checkpoints, as train_fsdp2.py leaves them: sealed, copied, found, restored, removed. Real files, real HTTP. */
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readTracker, shardDir } from '../../activities/checkpoint-files.js';
import { createListCheckpoints } from '../../activities/list-checkpoints.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { createRemoveCheckpoints } from '../../activities/remove-checkpoints.js';
import { createReplicateCheckpoint } from '../../activities/replicate-checkpoint.js';
import { createRestoreCheckpoint } from '../../activities/restore-checkpoint.js';
import { createFindSaves, createSealSaves } from '../../activities/seal-saves.js';
import { noteLaunch } from '../../activities/series-launch.js';
import { newestComplete } from '../../workflows/checkpoints.js';
import type { Peer, ReplicateCheckpointInput } from '../../workflows/contract.js';
import { launchInput } from '../support/fake-training.js';
import { run, serving, testNode } from '../support/test-node.js';

const DIR = 'series/s/checkpoints';
const STEPS = 'series/s/fsdp2/checkpoints';
/** Of two nodes with two ranks each. */
const [FIRST, SECOND] = ['dcp_00000_00001', 'dcp_00002_00003'] as const;
const RANKS = { [FIRST]: [0, 1], [SECOND]: [2, 3] };

const stepFile = ({ dataDir }: NodeDeps, step: number, path: string) =>
  join(dataDir, STEPS, `global_step_${step}`, path);
async function write(path: string, text: string) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

/** What the ranks of one node write of a step, but for the mark of its end. */
async function save(deps: NodeDeps, step: number, shard: keyof typeof RANKS) {
  for (const rank of RANKS[shard]) {
    for (const part of [0, 1])
      await write(stepFile(deps, step, `__${rank}_${part}.distcp`), `${part} of ${rank} at ${step}`);
    await write(stepFile(deps, step, `extra_state/extra_state_rank_${rank}.pt`), `state of ${rank} at ${step}`);
  }
}
const end = (deps: NodeDeps, step: number) => write(stepFile(deps, step, '.metadata'), `all of ${step}`);

const filesBelow = async (dir: string) =>
  (await readdir(dir, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .sort();
const list = (deps: NodeDeps) => run(createListCheckpoints(deps), { dir: DIR });
const sealedIn = async (deps: NodeDeps) =>
  (await list(deps)).map(({ iteration, shards }) => [iteration, ...shards.map(({ shard }) => shard)]);

const ALL = [
  '.metadata',
  ...[0, 1, 2, 3].flatMap((rank) => [0, 1].map((part) => `__${rank}_${part}.distcp`)),
  ...[0, 1, 2, 3].map((rank) => `extra_state/extra_state_rank_${rank}.pt`),
];

async function twoNodes() {
  const nodes = [await testNode('n1'), await testNode('n2')] as const;
  const peers = [await serving(nodes[0]), await serving(nodes[1])] as const;
  return { nodes, peers };
}

const following = (master: Peer, changes: Partial<ReplicateCheckpointInput>): ReplicateCheckpointInput => ({
  ...{ run: 'r', series: 's', generation: 1, token: 7, task: 't', after: 0, until: 4, master },
  ...{ seals: [], copies: [], patienceSeconds: 20, reportTo: { workflowId: 'w', runId: 'r' } },
  ...changes,
});

/** Both seal what they wrote and copy what the other did. */
async function follow({ nodes, peers }: Awaited<ReturnType<typeof twoNodes>>, until: number) {
  const [n1, n2] = nodes;
  return Promise.all([
    run(
      createReplicateCheckpoint(n1),
      following(peers[0], { until, seals: [FIRST], copies: [{ shard: SECOND, from: peers[1] }] }),
    ),
    run(
      createReplicateCheckpoint(n2),
      following(peers[0], { until, seals: [SECOND], copies: [{ shard: FIRST, from: peers[0] }] }),
    ),
  ]);
}

describe('a distributed checkpoint', () => {
  it('is sealed and copied once rank 0 has ended it: each node has a shard of what its ranks wrote, by the same files', async () => {
    const cluster = await twoNodes();
    const [n1, n2] = cluster.nodes;
    await save(n1, 4, FIRST);
    await save(n2, 4, SECOND);
    const followed = follow(cluster, 4);
    await new Promise((done) => setTimeout(done, 700));
    expect([await list(n1), await list(n2)]).toEqual([[], []]);
    await end(n1, 4);
    expect(await followed).toEqual([{ iteration: 4 }, { iteration: 4 }]);
    for (const node of cluster.nodes) expect(await sealedIn(node)).toEqual([[4, FIRST, SECOND]]);
    const own = join(n1.dataDir, shardDir(DIR, 4, FIRST), '__1_0.distcp');
    expect((await stat(own)).ino).toBe((await stat(stepFile(n1, 4, '__1_0.distcp'))).ino);
    // What the script removes by its own rule stays.
    await rm(stepFile(n1, 4, ''), { recursive: true });
    expect(await sealedIn(n1)).toEqual([[4, FIRST, SECOND]]);
  });

  it('is laid where the script loads it, all files of all ranks, on a node that had none of it; what is newer goes out of sight', async () => {
    const cluster = await twoNodes();
    const [n1, n2] = cluster.nodes;
    await save(n1, 4, FIRST);
    await save(n2, 4, SECOND);
    await end(n1, 4);
    await follow(cluster, 4);
    // The node of ranks 2 and 3 is lost with its disk, in the middle of the next save.
    await save(n1, 6, FIRST);
    const spare = await testNode('n3');
    const [peer] = cluster.peers;
    const newest = newestComplete([{ peer, checkpoints: await list(n1) }], [FIRST, SECOND])!;
    const input = { dir: DIR, iteration: newest.iteration, shards: Object.values(newest.shards), setAsideNewer: true };
    const aside = await run(createRestoreCheckpoint(n1), input);
    expect(aside.aside).toMatchObject({ iterations: [6] });
    await run(createRestoreCheckpoint(spare), input);
    for (const node of [n1, spare]) {
      expect(await readdir(join(node.dataDir, STEPS))).toEqual(['global_step_4']);
      expect(await filesBelow(join(node.dataDir, STEPS, 'global_step_4'))).toEqual(ALL);
      expect(await readFile(stepFile(node, 4, '__3_1.distcp'), 'utf8')).toBe('1 of 3 at 4');
      expect(await readTracker(node.dataDir, DIR)).toBe(4);
    }
  });

  it('that nobody sealed is found where its launch left it, with its end where rank 0 is, and sealed', async () => {
    const { nodes } = await twoNodes();
    for (const [node, shard] of [
      [nodes[0], FIRST],
      [nodes[1], SECOND],
    ] as const) {
      for (const step of [4, 6]) await save(node, step, shard);
      await noteLaunch(node.dataDir, {
        ...launchInput(7),
        saves: { isFirst: shard === FIRST, shards: [shard], after: 0 },
      });
    }
    await end(nodes[0], 4);
    const [first, second] = await Promise.all(nodes.map((node) => run(createFindSaves(node), { series: 's' })));
    const unsealed = (shard: string) => [4, 6].map((iteration) => ({ iteration, shards: [shard] }));
    expect(first).toEqual({ iterations: [4, 6], launch: { token: 7, tracked: 4, unsealed: unsealed(FIRST) } });
    expect(second).toEqual({ iterations: [4, 6], launch: { token: 7, unsealed: unsealed(SECOND) } });
    for (const node of nodes) await run(createSealSaves(node), { series: 's', token: 7, iteration: 4 });
    expect([await sealedIn(nodes[0]), await sealedIn(nodes[1])]).toEqual([[[4, FIRST]], [[4, SECOND]]]);
  });

  it('goes from both trees when the series has no use for it, once no script trains beside', async () => {
    const deps = await testNode('n1');
    for (const step of [4, 6]) await save(deps, step, FIRST);
    await noteLaunch(deps.dataDir, { ...launchInput(7), saves: { isFirst: true, shards: [FIRST], after: 0 } });
    expect(await run(createFindSaves(deps), { series: 's' })).toMatchObject({ iterations: [4, 6] });
    const removed = await run(createRemoveCheckpoints(deps), { series: 's', retention: { before: 6, keep: [] } });
    expect(removed).toEqual({ removed: [4] });
    expect(await readdir(join(deps.dataDir, STEPS))).toEqual(['global_step_6']);
  });

  it('whose part a node has not taken yet is told from one of which there is none', async () => {
    const { nodes, peers } = await twoNodes();
    await save(nodes[0], 4, FIRST);
    const ask = async (step: number) =>
      (
        await fetch(`${peers[0].url}/series/s/${step}/${FIRST}`, {
          headers: { authorization: `Bearer ${peers[0].token}` },
        })
      ).status;
    expect([await ask(4), await ask(6)]).toEqual([404, 410]);
  });
});
