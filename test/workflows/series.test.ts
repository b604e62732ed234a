/** What several runs, or several attempts of one, make of the checkpoints that are there. */
import { ApplicationFailure } from '@temporalio/common';
import type { WorkflowHandle } from '@temporalio/client';
import { heartbeat, sleep } from '@temporalio/activity';
import { describe, expect, it } from 'vitest';
import type {
  CheckpointHeld,
  CheckpointsRemoved,
  ExportCheckpointInput,
  LaunchTrainingInput,
  NodeActivities,
  RestoreCheckpointInput,
  SavesFound,
} from '../../workflows/contract.js';
import type { PretrainResult, RunState } from '../../workflows/status.js';
import { holding, QUICK, startFakeCluster, type FakeCluster } from '../support/fake-cluster.js';
import { quietNode } from '../support/quiet-node.js';
import { until } from '../support/until.js';

const start = (cluster: FakeCluster, id: string, file: object): Promise<WorkflowHandle> =>
  cluster.client.workflow.start('pretrain', {
    ...{ workflowId: `${id}-${cluster.pool}`, taskQueue: cluster.taskQueue },
    args: [file],
  });
const result = (handle: WorkflowHandle) => handle.result() as Promise<PretrainResult>;
const failure = async (handle: WorkflowHandle): Promise<ApplicationFailure> => {
  const error: unknown = await handle.result().catch((reason: unknown) => reason);
  return (error as Error).cause as ApplicationFailure;
};

const STAGES = ['mp_rank_00_000', 'mp_rank_00_001'];

type Disk = Pick<NodeActivities, 'listCheckpoints' | 'launchTraining' | 'watchTraining'>;

/** A node that trains to where its command says, at once, and holds what it saved and with what it was trained. */
function disk(shard: string, launches: LaunchTrainingInput[] = []): Disk {
  const saved = new Map<string, CheckpointHeld[]>();
  let last = 0;
  return {
    listCheckpoints: async ({ dir }) => saved.get(dir) ?? [],
    async launchTraining(input) {
      launches.push(input);
      const exit = input.script.indexOf('--exit-interval');
      last = exit < 0 ? 20 : Number(input.script[exit + 1]);
      const dir = `series/${input.series}/checkpoints`;
      const held = holding(shard, last).map((one) => ({ ...one, ...(input.identity && { identity: input.identity }) }));
      saved.set(dir, [...(saved.get(dir) ?? []), ...held]);
    },
    watchTraining: async () => ({ exitCode: 0, verdict: { outcome: 'exited', lastIteration: last, lastSaved: last } }),
  };
}

it.concurrent('each run of a series trains its share from where the last one ended', async (test) => {
  const cluster = await startFakeCluster(test);
  const launches: LaunchTrainingInput[] = [];
  await cluster.node('a', disk(STAGES[0]!, launches));
  await cluster.node('b', disk(STAGES[1]!));
  const file = cluster.runFile({ train: { iterationsPerRun: 10 } });
  const ended = [];
  for (const id of ['one', 'two', 'three']) ended.push(await result(await start(cluster, id, file)));
  expect(ended.map(({ iteration, generations }) => [iteration, generations])).toEqual([
    [10, 1],
    [20, 1],
    [20, 0],
  ]);
  const [first, second] = launches.map(({ script }) => script.join(' '));
  expect(first).toContain('--exit-interval 10');
  expect(first).not.toContain('--load');
  expect(second).toContain('--load series/');
  expect(second).not.toContain('--exit-interval');
  expect(launches[1]!.token).toBeGreaterThan(launches[0]!.token);
});

it.concurrent(
  'a run file that was changed is not taken for done: each field is named, before a node does anything',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const nodes = [await cluster.node('a', disk(STAGES[0]!)), await cluster.node('b', disk(STAGES[1]!))];
    await result(await start(cluster, 'one', cluster.runFile()));
    const calls = () =>
      nodes.map((node) => node.calls.filter((call) => !/^(ping|fence|list|findSaves)/.test(call)).length);
    const before = calls();
    const changed = {
      ...cluster.runFile({ parallel: { pp: 1 }, train: { iterations: 40 } }),
      dataset: { source: 'hf://a/data/*.parquet', appendEod: true },
    };
    const { type, message, nonRetryable } = await failure(await start(cluster, 'two', changed));
    expect([type, nonRetryable]).toEqual(['InvalidInput', true]);
    expect(message).toMatch(
      /iteration 20 of series s-\S+ was trained with: parallel\.pp was 2 and is 1; dataset\.appendEod was false and is true; train\.iterations was 20 and is 40\. Give .*, or use another series\. No checkpoint was changed/,
    );
    expect(calls()).toEqual(before);
  },
);

it.concurrent(
  'data that has grown is refused before anything is touched, or trained as a series of its own that later runs find',
  async (test) => {
    const cluster = await startFakeCluster(test);
    let pair = 'aaaaaaaaaaaa';
    let isGone = false;
    const touched: string[] = [];
    const launches: LaunchTrainingInput[] = [];
    const moving: Partial<NodeActivities> = {
      listSource: async ({ source }) => {
        if (isGone) throw ApplicationFailure.nonRetryable('no such file', 'InvalidInput');
        return { resolved: source, files: [{ path: 'tokenizer.json', size: 1, etag: pair }] };
      },
      findArtifact: async ({ dir }) => ({ artifact: { dir, digest: 'd', files: 1, bytes: 1 }, pairs: { text: pair } }),
      restoreCheckpoint: async ({ dir }) => (touched.push(dir), {}),
      removeCheckpoints: async ({ series }) => (touched.push(series), { removed: [] }),
    };
    await cluster.node('a', { ...disk(STAGES[0]!, launches), ...moving });
    await cluster.node('b', { ...disk(STAGES[1]!), ...moving });
    const file = cluster.runFile({ train: { iterationsPerRun: 10 } }) as { series: string; dataset: object };
    const grows = { ...file, dataset: { ...file.dataset, whenGrown: 'newSeries' } };
    await result(await start(cluster, 'one', file));
    touched.length = 0;

    pair = 'bbbbbbbbbbbb';
    const { type, message } = await failure(await start(cluster, 'two', file));
    expect(type).toBe('InvalidInput');
    expect(message).toMatch(
      /iteration 10 of series s-\S+ was trained with: dataset pair was "a{12}" and is "b{12}"\. .*dataset\.source.*use another series; with dataset\.whenGrown "newSeries".* No checkpoint was changed/,
    );
    const derived = (name: string) => `${file.series}.data-${name}`;
    const three = await start(cluster, 'three', grows);
    expect(await result(three)).toMatchObject({ series: derived(pair), iteration: 10, generations: 1 });
    expect(await three.query<string>('status')).toContain('since iteration 10 of series');
    expect(touched.filter((what) => !what.includes(derived(pair)))).toEqual([]);
    expect(await result(await start(cluster, 'four', grows))).toMatchObject({ series: derived(pair), iteration: 20 });
    const five = await result(await start(cluster, 'five', grows));
    expect(five).toMatchObject({ series: derived(pair), iteration: 20, generations: 0 });
    expect(five.message).toContain('nothing to do');
    isGone = true;
    const ended = await start(cluster, 'gone', { ...file, series: derived(pair) });
    expect(await result(ended)).toMatchObject({ iteration: 20, generations: 0 });
    expect(await ended.query<string>('status')).toContain('whether the data has grown is not known: no such file');
    isGone = false;

    // Trained to its total, it has something to do when there is more.
    pair = 'cccccccccccc';
    expect(await result(await start(cluster, 'six', { ...grows, series: derived('b'.repeat(12)) }))).toMatchObject({
      ...{ series: derived(pair), iteration: 10 },
    });
    pair = 'aaaaaaaaaaaa';
    expect(await result(await start(cluster, 'seven', file))).toMatchObject({ series: file.series, iteration: 20 });
    expect(launches.map(({ series }) => series.split('.data-')[1]?.[0])).toEqual([undefined, 'b', 'b', 'c', undefined]);
  },
  120_000,
);

it.concurrent(
  'what was asked for while data was found to have grown is done in the series that the run goes on as',
  async (test) => {
    const cluster = await startFakeCluster(test);
    let isGrown = false;
    let isAsked = false;
    const pair = () => (isGrown ? 'bbbbbbbbbbbb' : 'aaaaaaaaaaaa');
    const launches: LaunchTrainingInput[] = [];
    const growing: Partial<NodeActivities> = {
      listSource: async ({ source }) => {
        for (; isGrown && !isAsked; await sleep(50)) heartbeat();
        return { resolved: source, files: [{ path: 'tokenizer.json', size: 1, etag: pair() }] };
      },
      findArtifact: async ({ dir }) => ({
        ...{ artifact: { dir, digest: 'd', files: 1, bytes: 1 }, pairs: { text: pair() } },
      }),
    };
    const a = await cluster.node('a', { ...disk(STAGES[0]!, launches), ...growing });
    await cluster.node('b', { ...disk(STAGES[1]!, launches), ...growing });
    await cluster.node('c', { ...disk(STAGES[0]!, launches), ...growing });
    const file = cluster.runFile({ train: { iterationsPerRun: 10 } }) as { series: string; dataset: object };
    await result(await start(cluster, 'one', file));
    isGrown = true;
    const grows = { ...file, dataset: { ...file.dataset, whenGrown: 'newSeries' } };
    const two = await start(cluster, 'two', grows);
    await until(async () => (await two.query<string>('status')).includes(' · data'), 60);
    const because = { who: 'ann', why: 'power test' };
    await two.executeUpdate('pauseTraining', { args: [because] });
    await two.executeUpdate('replaceNode', { args: [{ ...because, node: a.info.name }] });
    isAsked = true;
    const isPaused = async () => /series \S+\.data-b+ · paused/.test(await two.query<string>('status'));
    await until(isPaused, 30);
    expect(launches).toHaveLength(2);
    expect(await two.query<string>('status')).not.toContain(a.info.name);
    await two.executeUpdate('resumeTraining', { args: [because] });
    expect(await result(two)).toMatchObject({ series: `${file.series}.data-${pair()}`, iteration: 10 });
    const { requests, phases } = await two.query<RunState>('runState');
    // What it took to find out is in the report as well.
    expect(phases.map(({ name }) => name).join()).toMatch(/^check,data,nodes,paused,check,data/);
    expect(requests.map(({ update, ended }) => [update, ended?.how])).toEqual([
      ['pauseTraining', 'paused at iteration 0'],
      ['replaceNode', 'so did all others'],
      ['resumeTraining', 'goes on from iteration 0'],
    ]);
  },
  120_000,
);

it.concurrent('a run on other nodes than the one before it goes on from the checkpoint that is there', async (test) => {
  const cluster = await startFakeCluster(test);
  let isOver = false;
  const busyWithOthers = (node: Disk): Disk => ({
    ...node,
    async watchTraining(input) {
      if (input.run.startsWith('other')) for (; !isOver; await sleep(50)) heartbeat();
      return node.watchTraining(input);
    },
  });
  const file = cluster.runFile({ train: { iterationsPerRun: 10 } });
  const a = await cluster.node('a', busyWithOthers(disk(STAGES[0]!)));
  await cluster.node('b', busyWithOthers(disk(STAGES[1]!)));
  await result(await start(cluster, 'one', file));
  // Another series takes its nodes, and leaves it those that know nothing of it.
  const other = await start(cluster, 'other', { ...file, series: 'other' });
  await until(() => a.calls.filter((call) => call === 'watchTraining').length === 2);
  const restored: RestoreCheckpointInput[] = [];
  const restoreCheckpoint = (input: RestoreCheckpointInput) => Promise.resolve((restored.push(input), {}));
  await cluster.node('c', { ...disk(STAGES[0]!), restoreCheckpoint });
  await cluster.node('d', { ...disk(STAGES[1]!), restoreCheckpoint });
  expect(await result(await start(cluster, 'two', file))).toMatchObject({ iteration: 20, generations: 1 });
  expect(restored.map(({ iteration }) => iteration)).toEqual([10, 10]);
  const sources = restored.flatMap(({ shards }) => shards.flatMap(({ from }) => from.map(({ name }) => name[0])));
  expect(sources.sort()).toEqual(['a', 'b']);
  // What the series has no use for goes from them too, though the run does not hold them.
  expect(a.calls).toContain('removeCheckpoints');
  isOver = true;
  await other.result();
});

it.concurrent(
  'nodes apart that write nothing of a shard are brought its model alone, but who has all of it',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const restored = new Map<string, RestoreCheckpointInput>();
    const quiet = quietNode({ name: 'any', address: '127.0.0.1', port: 1, devices: 1, profile: 'cpu' });
    let [holder, writer] = ['', ''];
    for (const name of ['a', 'b', 'c', 'd']) {
      const full = `${name}-${cluster.pool}`;
      if (name === 'c') holder = full;
      const sees = { datasets: [full], models: [full], series: [full] };
      await cluster.node(name, {
        checkNode: async (input) => ({ ...(await quiet.checkNode(input)), name: full, sees }),
        listCheckpoints: async () => (full === holder ? holding('mp_rank_00', 10) : []),
        restoreCheckpoint: (input) => Promise.resolve((restored.set(full, input), {})),
        async launchTraining({ torchrun }) {
          if (torchrun.join(' ').includes('--node_rank 0')) writer = full;
        },
      });
    }
    const file = cluster.runFile({ cluster: { nodes: 4 }, parallel: { pp: 1 }, train: { globalBatch: 8 } });
    await result(await start(cluster, 'run', file));
    expect(writer).not.toBe('');
    for (const [node, { shards }] of restored) {
      const isAll = node === holder || node === writer;
      expect([node, shards[0]?.modelOnly]).toEqual([node, isAll ? undefined : true]);
    }
    expect(restored.size).toBe(4);
  },
);

it.concurrent(
  'where all nodes share one storage, one brings a shard there, and then the others prove it',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const quiet = quietNode({ name: 'any', address: '127.0.0.1', port: 1, devices: 1, profile: 'cpu' });
    const sees = { datasets: 'all', models: 'all', series: 'all' } as const;
    const seen: string[] = [];
    for (const name of ['a', 'b', 'c'])
      await cluster.node(name, {
        checkNode: async (input) => ({
          ...(await quiet.checkNode(input)),
          ...{ name: `${name}-${cluster.pool}`, sees, seesFirst: true },
        }),
        listCheckpoints: async () => holding('mp_rank_00', 10),
        async restoreCheckpoint({ shards }) {
          if (shards.length === 0) return {};
          seen.push('begins');
          await sleep(100);
          seen.push('ends');
          return {};
        },
      });
    const file = cluster.runFile({ cluster: { nodes: 3 }, parallel: { pp: 1 }, train: { globalBatch: 6 } });
    await result(await start(cluster, 'run', file));
    expect(seen.slice(0, 2)).toEqual(['begins', 'ends']);
    expect(seen).toHaveLength(6);
  },
);

it.concurrent(
  'what older launches left has ended on every node, the spare too, before checkpoints are looked for',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const nodes = [];
    for (const name of ['a', 'b', 'c']) nodes.push(await cluster.node(name));
    await result(await start(cluster, 'run', cluster.runFile({ cluster: { spares: 1 } })));
    for (const { calls } of nodes) {
      // With the fence a node tells what it holds: fence-node.test.ts has the order of the two.
      expect(calls.filter((call) => call !== 'pingNode')[0]).toBe('fenceNode');
    }
  },
);

it.concurrent('says so when a node that served the series is away, and an older checkpoint has to do', async (test) => {
  const cluster = await startFakeCluster(test);
  const file = cluster.runFile({
    parallel: { pp: 1 },
    cluster: { nodes: 1 },
    train: { globalBatch: 12, iterationsPerRun: 10 },
    recovery: QUICK,
  });
  const a = await cluster.node('a', disk('mp_rank_00'));
  await result(await start(cluster, 'one', file));
  await a.switchOff();
  const older = await cluster.node('b', {
    ...disk('mp_rank_00'),
    listCheckpoints: async () => holding('mp_rank_00', 5),
  });
  const two = await start(cluster, 'two', file);
  expect(await result(two)).toMatchObject({ generations: 1 });
  expect(older.calls).toContain('restoreCheckpoint');
  expect(await two.query('status')).toMatch(
    /a-\S+ served this series and did not answer: what is newer there than iteration 5 is not used/,
  );
});

it.concurrent(
  'says so when a node that served the series cannot say what it has, and trains on all the same',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const file = cluster.runFile({
      ...{ parallel: { pp: 1 }, cluster: { nodes: 1 }, train: { globalBatch: 12, iterationsPerRun: 10 } },
      recovery: QUICK,
    });
    const full = () => Promise.reject(ApplicationFailure.nonRetryable('its disk is full', 'EnvCheckFailed'));
    const a = await cluster.node('a', { ...disk('mp_rank_00'), admitRun: full });
    await result(await start(cluster, 'one', file));
    await cluster.client.workflow
      .getHandle(`pool-${cluster.pool}`)
      .executeUpdate('cordon', { args: [{ node: a.info.name, who: 'ann', why: 'its disk' }] });
    await cluster.node('b', { ...disk('mp_rank_00'), listCheckpoints: async () => holding('mp_rank_00', 5) });
    const two = await start(cluster, 'two', file);
    expect(await result(two)).toMatchObject({ generations: 1 });
    expect(await two.query('status')).toMatch(
      /a-\S+ \(its disk is full\) served this series and did not answer: what is newer there than iteration 5 is not used/,
    );
  },
);

it.concurrent(
  'goes on from the newest whole checkpoint, though some nodes have many newer ones and do not tell of it',
  async (test) => {
    const cluster = await startFakeCluster(test);
    // So large that a node tells of no more than it has to.
    const large = (shard: string, ...iterations: number[]): CheckpointHeld[] =>
      iterations.map((iteration) => ({ iteration, shards: [{ shard, digest: 'd'.repeat(30_000), bytes: 1 }] }));
    const all = large(STAGES[0]!, 5, 6, 7, 8, 9, 10, 11);
    const keeps: (number | undefined)[] = [];
    const told = (keep?: number) => (keeps.push(keep), all.slice(-(keep ?? 7) - 2));
    const a = await cluster.node('a', {
      listCheckpoints: ({ keep }) => Promise.resolve(told(keep)),
      fenceNode: async (input) => ({ ...(await quietNode(a.info).fenceNode(input)), checkpoints: told(input.keep) }),
    });
    // Its machine was restarted before it had sealed more.
    const b = await cluster.node('b', { listCheckpoints: async () => large(STAGES[1]!, 5) });
    const run = await start(cluster, 'run', cluster.runFile({ train: { keepCheckpoints: 1 } }));
    expect(await result(run)).toMatchObject({ iteration: 20, generations: 1 });
    expect((await run.query<RunState>('runState')).events.map(({ text }) => text).join()).toContain(
      'generation 1 starts from iteration 5',
    );
    expect(b.calls).toContain('restoreCheckpoint');
    expect(keeps.slice(0, 2)).toEqual([1, 4]);
  },
);

it.concurrent(
  'what is damaged leads to an older one that only a node of others has, and had not told of',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const file = cluster.runFile({
      ...{ parallel: { pp: 1 }, cluster: { nodes: 1 } },
      train: { globalBatch: 12, iterationsPerRun: 10, keepCheckpoints: 1 },
    });
    const all = holding('mp_rank_00', 5, 6, 7, 8);
    const told = (keep = all.length): CheckpointHeld[] => all.slice(-keep - 2);
    let isTrained = false;
    const a = await cluster.node('a', {
      ...disk('mp_rank_00'),
      listCheckpoints: ({ keep }) => Promise.resolve(isTrained ? told(keep) : []),
    });
    await result(await start(cluster, 'one', file));
    isTrained = true;
    await cluster.client.workflow
      .getHandle(`pool-${cluster.pool}`)
      .executeUpdate('cordon', { args: [{ node: a.info.name, who: 'ann', why: 'its disk' }] });
    const restored: number[] = [];
    await cluster.node('b', {
      ...disk('mp_rank_00'),
      restoreCheckpoint({ iteration, shards: [shard] }) {
        restored.push(iteration);
        if (iteration < 6) return Promise.resolve({});
        throw ApplicationFailure.create({
          ...{ type: 'DataCorrupt', message: 'no good copy', nonRetryable: true },
          details: [{ iteration, shard: shard!.shard, digest: shard!.digest }],
        });
      },
    });
    expect(await result(await start(cluster, 'two', file))).toMatchObject({ generations: 1 });
    expect(restored).toEqual([8, 7, 6, 5]);
  },
);

it.concurrent('nodes that list one storage keep older checkpoints where the newest has no other', async (test) => {
  const ends = async (storages: [string, string, string]) => {
    const cluster = await startFakeCluster(test);
    const nodes = await Promise.all(
      storages.map((storage, index) => {
        const name = 'abc'[index]!;
        const info = { name: `${name}-${cluster.pool}`, address: '127.0.0.1', port: 1, devices: 1 };
        // Both stages on the first two, as where they share: the spare has nothing.
        const held = [10, 20].map((iteration) => ({
          iteration,
          shards: STAGES.map((shard) => ({ shard, digest: `${shard} ${iteration}`, bytes: 1, token: 1 })),
        }));
        const listCheckpoints = () => Promise.resolve(index < 2 ? held : []);
        const quiet = quietNode({ ...info, profile: 'cpu' }, { listCheckpoints });
        const fenceNode: NodeActivities['fenceNode'] = async (input) => ({
          ...(await quiet.fenceNode(input)),
          storage,
        });
        return cluster.node(name, { listCheckpoints, fenceNode });
      }),
    );
    const file = cluster.runFile({ cluster: { spares: 1 }, train: { replicas: 1, keepCheckpoints: 1 } });
    expect(await result(await start(cluster, 'run', file))).toMatchObject({ generations: 0 });
    return nodes.map(({ calls }) => calls.filter((call) => call === 'removeCheckpoints').length);
  };
  expect(await ends(['x', 'x', 'y'])).toEqual([0, 0, 0]);
  expect((await ends(['x', 'y', 'z'])).slice(0, 2)).toEqual([1, 1]);
});

it.concurrent(
  'old checkpoints go before a launch and at the end, and those that do not go are a warning',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const asked: object[] = [];
    const removing = (shard: string, answer: CheckpointsRemoved): Partial<NodeActivities> => ({
      listCheckpoints: () => Promise.resolve(holding(shard, 2, 4, 6, 8, 10)),
      removeCheckpoints: (input) => Promise.resolve((asked.push(input.retention), answer)),
    });
    const aside = { iterations: [12], bytes: 345e9 };
    const a = await cluster.node('a', removing(STAGES[0]!, { removed: [], failed: ['iteration 2: busy'], aside }));
    const b = await cluster.node('b', {
      ...removing(STAGES[1]!, { removed: [2] }),
      removeCheckpoints: () => Promise.reject(ApplicationFailure.nonRetryable('no such activity', 'CommandFailed')),
    });
    const run = await start(cluster, 'run', cluster.runFile({ train: { keepCheckpoints: 3, keepEvery: 20 } }));
    expect(await result(run)).toMatchObject({ iteration: 20, generations: 1, failures: 0 });
    for (const { calls } of [a, b]) {
      expect(calls.filter((call) => call === 'removeCheckpoints')).toHaveLength(2);
      expect(calls.indexOf('removeCheckpoints')).toBeGreaterThan(calls.indexOf('restoreCheckpoint'));
      expect(calls.indexOf('removeCheckpoints')).toBeLessThan(calls.indexOf('launchTraining'));
    }
    const kept = { before: 10, keep: [8, 6], every: 20 };
    expect(asked).toEqual([kept, kept]);
    const page = await run.query<string>('status');
    expect(page).toMatch(/old checkpoints are not removed: (a-\S+: iteration 2: busy|no such activity); /);
    expect(page).toMatch(/set aside: 345\.0 GB on a-\S+ \(12\), below <data>\/series\/s-\S+\/checkpoints\/set-aside/);
  },
);

it.concurrent(
  'the run that trains the last iteration exports when somebody has approved, and one that finds it trained does so again',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const exports: ExportCheckpointInput[] = [];
    // Exports are found where they were made, datasets everywhere.
    const made = new Set<string>();
    const exporting = (name: string): Partial<NodeActivities> => ({
      findArtifact: async ({ dir }) =>
        !dir.startsWith('exports/') || made.has(name) ? { artifact: { dir, digest: 'd', files: 1, bytes: 1 } } : {},
      exportCheckpoint: async (input) => {
        exports.push(input);
        made.add(name);
        const { dir, iteration, tensors, to } = input;
        return { ...{ node: name, path: `/data/${dir}`, iteration, tensors, dtypes: ['BF16'], bytes: 3e9 }, to: to! };
      },
    });
    await cluster.node('a', { ...disk(STAGES[0]!), ...exporting('a') });
    await cluster.node('b', { ...disk(STAGES[1]!), ...exporting('b') });
    const to = 's3://models/mine';
    const file = { ...cluster.runFile({ train: { iterationsPerRun: 10 } }), export: { to } };
    expect(await result(await start(cluster, 'one', file))).not.toHaveProperty('exported');
    expect(exports).toEqual([]);
    const two = await start(cluster, 'two', { ...file, gates: { export: { timeout: '10m' } } });
    const waits = 'approval · waits for somebody to approve "export"; without a word the run ends without an export at';
    await until(async () => (await two.query<string>('status')).includes(waits), 120);
    expect(exports).toEqual([]);
    await two.signal('nodeWanted', { node: `b-${cluster.pool}`, who: 'bob', why: 'a new fan' });
    const drained = `bob drains b-${cluster.pool}: a new fan. It is given back when the run ends: everything is trained`;
    await until(async () => (await two.query<string>('status')).includes(drained));
    const approval = { who: 'ann', why: 'the curve is good', gate: 'export' };
    expect(await two.executeUpdate('approve', { args: [approval] })).toBe('the run goes on now');
    const dir = `exports/s-${cluster.pool}/iter_0000020`;
    expect(await result(two)).toMatchObject({ iteration: 20, exported: { node: 'a', path: `/data/${dir}`, to } });
    expect(await two.query('status')).toContain(
      `exported: iteration 20 in Hugging Face format, 47 tensors (BF16), 3.0 GB: /data/${dir} on a, and ${to}`,
    );
    const [{ shards, paths, config }] = exports as [ExportCheckpointInput];
    expect(shards.map(({ shard }) => shard)).toEqual(STAGES);
    expect(paths).toMatchObject({ '--load-dir': `${dir}.gathered` });
    expect(config).toMatchObject({ model_type: 'qwen3', num_hidden_layers: 4, hidden_size: 64 });
    expect(await result(await start(cluster, 'three', file))).toMatchObject({
      generations: 0,
      exported: { node: 'a' },
    });
    const forgotten = await start(cluster, 'four', { ...file, gates: { export: { timeout: '1s' } } });
    expect(await result(forgotten)).not.toHaveProperty('exported');
    expect(await forgotten.query('status')).toContain('gate "export" closed by nobody in 1s');
  },
);

/** A node whose last launch left these iterations unsealed, and which holds what is sealed of them. */
function unsealedDisk(shard: string, left: number[], tracked?: number): Partial<NodeActivities> {
  const sealed = new Set<number>();
  return {
    listCheckpoints: async () =>
      holding(shard, ...sealed).map(({ iteration, shards: [held] }) => ({
        iteration,
        shards: [{ ...held!, token: 3 }],
      })),
    findSaves: async () => ({
      iterations: left,
      launch: {
        token: 3,
        unsealed: left.filter((it) => !sealed.has(it)).map((iteration) => ({ iteration, shards: [shard] })),
        ...(tracked !== undefined && { tracked }),
      },
    }),
    sealSaves: async ({ iteration, token }) => {
      if (token === 3) sealed.add(iteration);
      return { sealed: [shard] };
    },
  };
}

it.concurrent(
  'what was saved whole and never sealed is sealed, and gone on from; the rest is set aside',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const launches: LaunchTrainingInput[] = [];
    const launchTraining = async (input: LaunchTrainingInput) => void launches.push(input);
    const a = await cluster.node('a', { ...unsealedDisk(STAGES[0]!, [5, 10, 12], 10), launchTraining });
    const b = await cluster.node('b', { ...unsealedDisk(STAGES[1]!, [5, 10, 12]), launchTraining });
    const handle = await start(cluster, 'run', cluster.runFile());
    expect(await result(handle)).toMatchObject({ iteration: 20, generations: 1 });
    expect(launches.map(({ loads }) => loads)).toEqual([10, 10]);
    expect(launches.map(({ saves }) => [saves.isFirst, saves.shards[0], saves.after]).sort()).toEqual([
      [false, STAGES[1], 10],
      [true, STAGES[0], 10],
    ]);
    const page = await handle.query<string>('status');
    expect(page).toMatch(/iteration 10 was saved, and is sealed only now on [ab]-\S+, [ab]-/);
    expect(page).toMatch(/iteration 12 on [ab]-\S+, [ab]-\S+ is set aside: not all/);
    // Nothing may be sealed while ranks of it might still write.
    for (const { calls } of [a, b]) expect(calls.indexOf('fenceNode')).toBeLessThan(calls.indexOf('sealSaves'));
  },
);

it.concurrent('what ranks wrote while their gang failed is gone on from, on whichever node it is', async (test) => {
  const cluster = await startFakeCluster(test);
  const launches: LaunchTrainingInput[] = [];
  const shards = ['mp_rank_00'];
  const failing = (saves: Partial<NonNullable<SavesFound['launch']>>): Partial<NodeActivities> => {
    let held: CheckpointHeld[] = [];
    return {
      launchTraining: async (input) => void launches.push(input),
      findSaves: () => Promise.resolve({ iterations: [], launch: { token: 3, unsealed: [], ...saves } }),
      listCheckpoints: () => Promise.resolve(held),
      sealSaves({ iteration, dumped = [] }) {
        held = [{ iteration, shards: dumped.map((shard) => ({ shard, digest: 'd', bytes: 1, token: 3 })) }];
        return Promise.resolve({ sealed: dumped });
      },
    };
  };
  await cluster.node('a', failing({ beganRight: true, dumped: [] }));
  await cluster.node('b', failing({ dumped: [{ iteration: 13, shards, isNamed: true, isCertain: true }] }));
  const extraArgs = { '--enable-high-availability': true };
  const handle = await start(cluster, 'run', cluster.runFile({ parallel: { pp: 1 }, train: { extraArgs } }));
  expect(await result(handle)).toMatchObject({ iteration: 20, generations: 1 });
  expect(launches.map(({ loads, saves }) => [loads, saves.after, saves.dumps])).toEqual([
    [13, 13, true],
    [13, 13, true],
  ]);
  // MindIO's controller is beside rank 0, wherever that is in this generation.
  for (const { env, torchrun } of launches) {
    expect(env).toMatchObject({ HIGH_AVAILABILITY: 'dump', TTP_ADDR: torchrun[torchrun.indexOf('--master_addr') + 1] });
    expect(env['TTP_ADDR']).toBeTruthy();
  }
});

it.concurrent('nothing is started over while a node that served the series is away', async (test) => {
  const cluster = await startFakeCluster(test);
  const file = cluster.runFile({ train: { iterationsPerRun: 10 }, recovery: QUICK });
  const nodes = [await cluster.node('a', disk(STAGES[0]!)), await cluster.node('b', disk(STAGES[1]!))];
  await result(await start(cluster, 'one', file));
  for (const node of nodes) await node.switchOff();
  const c = await cluster.node('c', disk(STAGES[0]!));
  await cluster.node('d', disk(STAGES[1]!));
  const { type, message } = await failure(await start(cluster, 'two', file));
  expect(type).toBe('NoCheckpoint');
  expect(message).toMatch(/a-\S+ served this series and does not answer; b-\S+ served this series/);
  expect(c.calls).not.toContain('launchTraining');
});

describe.concurrent.each(['checkNode', 'listCheckpoints', 'findArtifact'] as const)(
  'a node that answers %s and nothing more, before anything was launched,',
  (last) => {
    it('is replaced, and the run begins the phase again; nor does the next one ask after it', async (test) => {
      const cluster = await startFakeCluster(test);
      await cluster.node('a', disk(STAGES[0]!));
      let dies = () => {};
      const b = await cluster.node('b', {
        [last]: async (input: never) => {
          dies();
          return quietNode(b.info)[last](input);
        },
      });
      dies = () => void b.switchOff();
      const c = await cluster.node('c', disk(STAGES[1]!));
      const file = cluster.runFile({ cluster: { spares: 1 }, train: { iterationsPerRun: 10 }, recovery: QUICK });
      const ended = { iteration: 10, generations: 1, failures: 0 };
      expect(await result(await start(cluster, 'one', file))).toMatchObject(ended);
      expect(c.calls).toContain('launchTraining');
      const next = await start(cluster, 'two', cluster.runFile({ recovery: QUICK }));
      expect(await result(next)).toMatchObject({ iteration: 20, generations: 1 });
      const { events } = await next.query<RunState>('runState');
      expect(events.map(({ text }) => text).join()).not.toContain('did not answer');
    });
  },
);

it.concurrent('when the only copy is lost on the way to a launch, nothing is started over', async (test) => {
  const cluster = await startFakeCluster(test);
  let dies = () => {};
  const a = await cluster.node('a', {
    listCheckpoints: async () => holding('mp_rank_00', 10),
    findArtifact: async ({ dir }) => {
      dies();
      return { artifact: { dir, digest: 'd', files: 1, bytes: 1 } };
    },
  });
  dies = () => void a.switchOff();
  const b = await cluster.node('b');
  await cluster.node('c');
  const file = cluster.runFile({ cluster: { spares: 1 }, parallel: { pp: 1 }, recovery: QUICK });
  expect(await failure(await start(cluster, 'run', file))).toMatchObject({ type: 'NoCheckpoint' });
  expect(b.calls).not.toContain('launchTraining');
});

it.concurrent(
  'a copy that fails because its peer died is a reason to begin again, not to give up',
  async (test) => {
    const cluster = await startFakeCluster(test);
    let tries = 0;
    await cluster.node('a', {
      restoreCheckpoint: () =>
        tries++ < 5
          ? Promise.reject(ApplicationFailure.retryable('fetch failed', 'CommandFailed'))
          : Promise.resolve({}),
    });
    await cluster.node('b');
    expect(await result(await start(cluster, 'run', cluster.runFile()))).toMatchObject({
      iteration: 20,
      generations: 1,
    });
  },
  120_000,
);

it.concurrent(
  'a run started again under its id after it was terminated waits for what is still ending',
  async (test) => {
    const cluster = await startFakeCluster(test);
    let launches = 0;
    let mayStop = false;
    const activities = (node: string): Partial<NodeActivities> => ({
      watchTraining: async () => {
        if (launches++ < 2) for (; ; await sleep(50)) heartbeat();
        return { exitCode: 0, verdict: { outcome: 'finished', lastIteration: 20, lastSaved: 20 } };
      },
      stopTraining: async () => {
        // A stop that says nothing is taken for one whose worker died, and is over with the lease.
        while (!mayStop) await sleep(50).then(() => heartbeat());
        return { node, confirmed: true, logPath: '/log' };
      },
    });
    const nodes = [await cluster.node('a', activities('a')), await cluster.node('b', activities('b'))];
    const first = await start(cluster, 'run', cluster.runFile());
    await until(() => nodes.every(({ calls }) => calls.includes('watchTraining')));
    await first.terminate();
    const second = await start(cluster, 'run', cluster.runFile());
    const inTheWay = 'of an earlier run, which is still ending';
    await until(async () => (await second.query<string>('status')).includes(inTheWay), 80);
    mayStop = true;
    expect(await result(second)).toMatchObject({ iteration: 20 });
  },
  120_000,
);

it.concurrent('a report that cannot be written does not make a run fail', async (test) => {
  const cluster = await startFakeCluster(test, {
    writeReport: () => Promise.reject(ApplicationFailure.nonRetryable('EROFS: read-only file system')),
  });
  await cluster.node('a');
  await cluster.node('b');
  const ended = await result(await start(cluster, 'run', cluster.runFile()));
  expect(ended).toMatchObject({ iteration: 20 });
  expect(ended).not.toHaveProperty('report');
});

it.concurrent('a node that is not fit is replaced by the spare; without one the run says what to do', async (test) => {
  const cluster = await startFakeCluster(test);
  const full = () =>
    Promise.reject(
      ApplicationFailure.create({
        ...{ type: 'EnvCheckFailed', nonRetryable: true, message: 'a: the disk is full' },
        details: [{ node: `a-${cluster.pool}` }],
      }),
    );
  const a = await cluster.node('a', { checkNode: full });
  await cluster.node('b');
  const c = await cluster.node('c');
  expect(await result(await start(cluster, 'run', cluster.runFile({ cluster: { spares: 1 } })))).toMatchObject({
    iteration: 20,
    generations: 1,
  });
  expect([a, c].map(({ calls }) => calls.includes('launchTraining'))).toEqual([false, true]);
  const { type, message } = await failure(
    await start(cluster, 'two', {
      ...cluster.runFile({ cluster: { nodes: 3 }, parallel: { pp: 1 }, train: { globalBatch: 12 } }),
      series: 'two',
    }),
  );
  expect([type, message]).toEqual(['EnvCheckFailed', 'a: the disk is full']);
});

it.concurrent('a member that no other node reaches is replaced, though it answers the server', async (test) => {
  const cluster = await startFakeCluster(test);
  let failures = 1;
  const reset = 'RuntimeError: Connection reset by peer';
  const activities = (node: string): Partial<NodeActivities> => ({
    watchTraining: async () => {
      if (failures-- > 0) throw ApplicationFailure.nonRetryable(reset, 'CommandFailed');
      return { exitCode: 0, verdict: { outcome: 'finished', lastIteration: 20, lastSaved: 20 } };
    },
    stopTraining: async () => ({ node, confirmed: true, firstError: reset, logPath: '/log' }),
    probePeer: async ({ peer }) => ({ reachable: !node.startsWith('b') && !peer.name.startsWith('b') }),
  });
  const nodes = [];
  for (const name of ['a', 'b', 'c']) nodes.push(await cluster.node(name, activities(name)));
  expect(await result(await start(cluster, 'run', cluster.runFile({ cluster: { spares: 1 } })))).toMatchObject({
    iteration: 20,
    generations: 2,
  });
  const launches = nodes.map(({ calls }) => calls.filter((call) => call === 'launchTraining').length);
  expect(launches).toEqual([2, 1, 1]);
});

it.concurrent.for([
  ['is looked for again only where a node says that it lacks some', ['b'], [true, true, undefined, undefined]],
  ['is not looked for again, at its source neither, where every node says that it is there', [], [true, true]],
] as const)(
  'data is proven on every node before the first launch of a run, and before the next %s',
  async ([, lacking, looks], test) => {
    const cluster = await startFakeCluster(test);
    const asked: (boolean | undefined)[] = [];
    let failures = 1;
    let listed = 0;
    const datasets = new Set<string>();
    const activities = (node: string): Partial<NodeActivities> => ({
      // The source moves on meanwhile: the run does not.
      listSource: async ({ source }) => ({
        ...{ resolved: source, files: [{ path: 'tokenizer.json', size: 1 + (listed++ >> 1) }] },
      }),
      checkNode: async (input) => {
        const info = { name: `${node}-${cluster.pool}`, address: '127.0.0.1', port: 1, devices: 1 };
        const report = await quietNode({ ...info, profile: 'cpu' }).checkNode(input);
        const isLacking = input.artifacts.length > 0 && lacking.some((name) => name === node);
        return { ...report, lacks: isLacking ? [input.artifacts[1]!.dir] : [] };
      },
      findArtifact: async ({ dir, prove }) => {
        if (dir.startsWith('datasets')) asked.push(prove);
        if (dir.startsWith('datasets')) datasets.add(dir);
        return { artifact: { dir, digest: 'd', files: 1, bytes: 1 } };
      },
      watchTraining: async () => {
        if (failures-- > 0) throw ApplicationFailure.nonRetryable('a rank was killed', 'CommandFailed');
        return { exitCode: 0, verdict: { outcome: 'finished', lastIteration: 20, lastSaved: 20 } };
      },
      stopTraining: async () => ({ node, confirmed: true, signal: 'SIGKILL', logPath: '/log' }),
    });
    for (const name of ['a', 'b']) await cluster.node(name, activities(name));
    expect(await result(await start(cluster, 'run', cluster.runFile()))).toMatchObject({ generations: 2 });
    expect(asked).toEqual(looks);
    expect(listed).toBe(looks.length);
    expect(datasets.size).toBe(1);
  },
);
