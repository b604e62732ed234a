/** What a run decides, on a real server, with nodes that answer as they are told. */
import { randomUUID } from 'node:crypto';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { heartbeat, sleep } from '@temporalio/activity';
import { describe, expect, it } from 'vitest';
import type {
  FetchFilesInput,
  LaunchTrainingInput,
  NodeActivities,
  NodeInfo,
  ReplicateCheckpointInput,
  WatchHeartbeat,
} from '../../workflows/contract.js';
import type { PretrainResult, RunState } from '../../workflows/status.js';
import { holding, QUICK, startFakeCluster, type FakeCluster } from '../support/fake-cluster.js';
import { quietNode } from '../support/quiet-node.js';

const start = (cluster: FakeCluster, file: unknown, type = 'pretrain'): Promise<WorkflowHandle> =>
  cluster.client.workflow.start(type, {
    ...{ workflowId: `run-${crypto.randomUUID()}`, taskQueue: cluster.taskQueue },
    args: file === undefined ? [] : [file],
  });
const result = (handle: WorkflowHandle) => handle.result() as Promise<PretrainResult>;

/** The failure that ends a run, as a person sees it. */
async function failureOf(handle: WorkflowHandle): Promise<ApplicationFailure> {
  const error: unknown = await handle.result().catch((reason: unknown) => reason);
  if (error instanceof WorkflowFailedError && error.cause instanceof ApplicationFailure) return error.cause;
  throw new Error('the run did not fail', { cause: error });
}

const crash = (node: string, firstError: string) => ({
  watchTraining: () =>
    Promise.reject(ApplicationFailure.nonRetryable(`${node}: training ended with exit code 1`, 'CommandFailed')),
  stopTraining: () => Promise.resolve({ node, confirmed: true, logPath: '/log', firstError }),
});

/** Watches until it is told to stop, as one whose ranks train for ever. */
async function watchForEver(seen?: WatchHeartbeat): Promise<never> {
  for (; ; await sleep(50)) heartbeat(seen);
}
const endless = { watchTraining: () => watchForEver() };

describe.concurrent('a bad start', () => {
  it.for<[what: string, type: string, file: unknown, message: string]>([
    ['an unknown workflow type', 'pretrian', {}, 'There is no workflow type "pretrian"'],
    ['no run file', 'pretrain', undefined, 'expected one JSON object, the run file'],
    ['a bad run file', 'pretrain', { model: 1 }, 'dataset: expected an object, got nothing'],
  ])('with %s is answered at once and for good', async ([, type, file, message], test) => {
    const failure = await failureOf(await start(await startFakeCluster(test), file, type));
    expect(failure).toMatchObject({ type: 'InvalidInput', nonRetryable: true });
    expect(failure.message).toContain(message);
  });
});

it('a part of a run, or a pool, that a person starts by hand is answered at once, whatever it is given', async (test) => {
  const cluster = await startFakeCluster(test);
  const parts = ['prepareData', 'prepareGeneration', 'trainGeneration'];
  const inputs = [undefined, null, 5, 'text', [], {}, { spec: {}, nodes: [{}], members: [{}], spares: [], timing: {} }];
  const asked = parts.flatMap((type) => inputs.map((input) => ({ type, input, id: randomUUID() })));
  const pools = [5, {}, { nodes: 1 }, { nodes: [5], waiting: [{}], token: 1 }].map((input) => ({
    type: 'nodePool',
    input,
    id: `pool-${randomUUID()}`,
  }));
  const answers = [...asked, ...pools, { type: 'nodePool', input: undefined, id: 'mine' }].map(
    async ({ type, input, id }) => {
      const how = { taskQueue: cluster.taskQueue, workflowId: id, args: input === undefined ? [] : [input] };
      const { type: kind, nonRetryable, message } = await failureOf(await cluster.client.workflow.start(type, how));
      return [kind, nonRetryable, message.includes(type) && message.includes('A run is started with --type pretrain')];
    },
  );
  for (const answer of await Promise.all(answers)) expect(answer).toEqual(['InvalidInput', true, true]);
});

describe.concurrent('a run', () => {
  it('trains on two nodes and gives them back', async (test) => {
    const cluster = await startFakeCluster(test);
    const nodes = [await cluster.node('a'), await cluster.node('b')];
    expect(await result(await start(cluster, cluster.runFile()))).toMatchObject({
      iteration: 20,
      generations: 1,
      loss: 1,
    });
    expect(nodes.map(({ calls }) => calls.includes('launchTraining'))).toEqual([true, true]);
    // The next one gets them, so they were given back.
    expect(await result(await start(cluster, cluster.runFile()))).toMatchObject({ iteration: 20 });
  });

  it('asks nothing of a node by itself, so that its own history does not grow with them', async (test) => {
    const cluster = await startFakeCluster(test);
    const nodes = [];
    for (const name of ['a', 'b', 'c']) nodes.push((await cluster.node(name)).info.name);
    const handle = await start(cluster, cluster.runFile({ cluster: { spares: 1 } }));
    const { curves } = await result(handle);
    const { events } = await handle.fetchHistory();
    const queues = events!.flatMap(({ activityTaskScheduledEventAttributes: of }) => of?.taskQueue?.name ?? []);
    // What the last rank wrote for TensorBoard, and the report.
    expect(nodes).toContain(curves?.node);
    expect(queues).toEqual([`node-${curves?.node}`, cluster.taskQueue]);
  });

  it('asks again for a quick step that a worker took and never answered, as one that was killed', async (test) => {
    const cluster = await startFakeCluster(test);
    let asked = 0;
    const launchTraining = (): Promise<void> => (asked++ === 0 ? sleepFor(12_000) : Promise.resolve());
    await cluster.node('a', { launchTraining });
    await cluster.node('b');
    const file = cluster.runFile({ recovery: QUICK });
    expect(await result(await start(cluster, file))).toMatchObject({ iteration: 20 });
    expect(asked).toBeGreaterThanOrEqual(2);
  });

  it('removes what a dataset was made of when every node has the whole, and only where there is something', async (test) => {
    const cluster = await startFakeCluster(test);
    const artifact = (dir: string) => ({ dir, digest: dir, files: 1, bytes: 1 });
    const on = { made: false };
    // Each time made anew on one node, which then has it; in the run after that one of them has parts left.
    const findArtifact: NodeActivities['findArtifact'] = ({ dir }) =>
      Promise.resolve(dir.startsWith('datasets/') && !on.made ? {} : { artifact: artifact(dir) });
    const a = await cluster.node('a', {
      findArtifact,
      removeParts: () => Promise.reject(ApplicationFailure.nonRetryable('read-only file system', 'CommandFailed')),
    });
    const b = await cluster.node('b', {
      ...{ findArtifact, syncFiles: ({ artifact: wanted }) => Promise.resolve(wanted) },
    });
    const removals = () => [a, b].map(({ calls }) => calls.filter((call) => call === 'removeParts').length);
    const file = cluster.runFile();
    const first = await start(cluster, file);
    expect(await result(first)).toMatchObject({ iteration: 20 });
    expect(removals()).toEqual([1, 1]);
    expect(b.calls.indexOf('removeParts')).toBeGreaterThan(b.calls.lastIndexOf('syncFiles'));
    expect(await first.query('status')).toContain('dataset: what it was made of is not removed: read-only file system');
    on.made = true;
    await result(await start(cluster, { ...file, series: 'second' }));
    expect(removals()).toEqual([1, 1]);
    on.made = false;
    await result(await start(cluster, { ...file, series: 'third', preprocess: { keepShards: true } }));
    expect(removals()).toEqual([1, 1]);
  });

  it('tells how far its dataset is, what is to be known of how it was made, and what it is like', async (test) => {
    const cluster = await startFakeCluster(test);
    let see = () => {};
    const isSeen = new Promise<void>((resolve) => (see = resolve));
    const texts = {
      documents: 9,
      tokens: 99,
      lengths: [0, 0, 0, 9],
      longest: [],
      repeats: { documents: 0, exact: true },
    };
    const figures = { keys: [{ key: 'text', ...texts, pieces: { tokens: 0, unknown: 0, characters: {} } }] };
    const artifact = (dir: string) => ({ dir, digest: dir, files: 1, bytes: 1 });
    const warnings = ['the fast tokenizer was wrong: [1], expected [2]'];
    const made: string[][] = [];
    await cluster.node('a', {
      findArtifact: ({ dir }) => Promise.resolve(dir.startsWith('datasets/') ? {} : { artifact: artifact(dir) }),
      mergeShards: ({ key }) =>
        Promise.resolve({ artifact: artifact(`datasets/${key}`), documents: 1, tokens: 1, warnings, figures }),
      listSource: ({ source }) => {
        const names = source.includes('data') ? ['\u{1f600}.json', '\u{ff5e}.json'] : ['tokenizer.json'];
        return Promise.resolve({ resolved: source, files: names.map((path) => ({ path, size: 5e8 })) });
      },
      async preprocessShard({ shard, files }) {
        made[shard] = files;
        if (shard === 1) await isSeen;
        return { artifact: artifact(`shard-${shard}`), documents: 7, tokens: 77 };
      },
      ...endless,
    });
    const one = cluster.runFile({ cluster: { nodes: 1 }, parallel: { pp: 1 } });
    const handle = await start(cluster, { ...one, preprocess: { shards: 2 } });
    const shows = async (text: string) => {
      while (!(await handle.query<string>('status')).includes(text)) await sleepFor(50);
    };
    await shows('preprocessing: 50.0 % of 1.0 GB · 7 documents, 77 tokens · ');
    see();
    await shows('dataset text: 9 documents, 99 tokens · ');
    await shows(`dataset: ${warnings[0]}`);
    // In the order of their bytes, which is not that of JavaScript's strings.
    expect(made).toEqual([['\u{ff5e}.json'], ['\u{1f600}.json']]);
    await handle.cancel();
  });

  it('takes a tokenizer from a directory in a bucket by the names that its files have there', async (test) => {
    const cluster = await startFakeCluster(test);
    let fetched: FetchFilesInput | undefined;
    const artifact = (dir: string) => ({ dir, digest: dir, files: 1, bytes: 1 });
    const paths = ['qwen/mine/notes.txt', 'qwen/mine/tokenizer.json'];
    await cluster.node('a', {
      findArtifact: ({ dir }) => Promise.resolve(dir.startsWith('models/') ? {} : { artifact: artifact(dir) }),
      listSource: ({ source }) => {
        const names = source.startsWith('s3://') ? paths : ['a.jsonl'];
        return Promise.resolve({ resolved: source, files: names.map((path) => ({ path, size: 1 })) });
      },
      fetchFiles(input) {
        fetched = input;
        return Promise.resolve(artifact(input.dir));
      },
    });
    const tokenizer = { source: 's3://models/qwen/mine' };
    const file = { ...cluster.runFile({ cluster: { nodes: 1 }, parallel: { pp: 1 } }), tokenizer };
    await result(await start(cluster, file));
    expect(fetched?.files).toEqual([{ path: 'tokenizer.json', at: 'qwen/mine/tokenizer.json', size: 1 }]);
  });

  it('tells how far a shard is while it is made, of the node that makes it only', async (test) => {
    const cluster = await startFakeCluster(test);
    const artifact = (dir: string) => ({ dir, digest: dir, files: 1, bytes: 1 });
    const on = { told: false };
    const { info } = await cluster.node('a', {
      findArtifact: ({ dir }) => Promise.resolve(dir.startsWith('datasets/') ? {} : { artifact: artifact(dir) }),
      listSource: ({ source }) => Promise.resolve({ resolved: source, files: [{ path: 'tokenizer.json', size: 1e9 }] }),
      async preprocessShard({ shard, report }) {
        const { workflowId, runId } = report!.to;
        const handle = cluster.client.workflow.getHandle(workflowId, runId);
        const said = { shard, documents: 3, tokens: 33, bytes: 25e7 };
        await handle.signal('shardProgress', { ...said, node: 'lost', documents: 9 });
        await handle.signal('shardProgress', { ...said, node: info.name });
        for (; !on.told; await sleepFor(50)) heartbeat();
        return { artifact: artifact('shard'), documents: 7, tokens: 77 };
      },
      ...endless,
    });
    const one = cluster.runFile({ cluster: { nodes: 1 }, parallel: { pp: 1 } });
    const handle = await start(cluster, { ...one, preprocess: { shards: 1 } });
    let page = '';
    while (!page.includes('preprocessing: ')) {
      await sleepFor(50);
      page = await handle.query<string>('status');
    }
    expect(page).toContain('preprocessing: 25.0 % of 1.0 GB · 3 documents, 33 tokens · ');
    on.told = true;
    await handle.cancel();
  });

  it('waits for nodes, saying so, and begins when there are enough', async (test) => {
    const cluster = await startFakeCluster(test);
    await cluster.node('a');
    const handle = await start(cluster, cluster.runFile());
    while (!(await handle.query<string>('status')).includes('waits for 2 of the pool')) await sleepFor(50);
    await cluster.node('b');
    expect(await result(handle)).toMatchObject({ iteration: 20 });
  });

  it('ends at once when its series is complete', async (test) => {
    const cluster = await startFakeCluster(test);
    const listing = (shard: string) => ({ listCheckpoints: () => Promise.resolve(holding(shard, 20)) });
    const a = await cluster.node('a', listing('mp_rank_00_000'));
    await cluster.node('b', listing('mp_rank_00_001'));
    const ended = await result(await start(cluster, cluster.runFile()));
    expect(ended).toMatchObject({ iteration: 20, generations: 0 });
    expect(ended.message).toContain('nothing to do');
    expect(a.calls).not.toContain('launchTraining');
  });

  it('does not start over where part of a checkpoint is here and the rest is not', async (test) => {
    const cluster = await startFakeCluster(test);
    const a = await cluster.node('a', { listCheckpoints: () => Promise.resolve(holding('mp_rank_00_000', 10)) });
    await cluster.node('b');
    const failure = await failureOf(await start(cluster, cluster.runFile()));
    expect(failure.type).toBe('NoCheckpoint');
    expect(failure.message).toContain('mp_rank_00_000 of iteration 10');
    expect(a.calls).not.toContain('restoreCheckpoint');
  });

  it('converts online at the launch that starts from published weights, and at none that goes on', async (test) => {
    const cluster = await startFakeCluster(test);
    const launches: LaunchTrainingInput[] = [];
    const brought: string[] = [];
    const member = (shard: string): Partial<NodeActivities> => ({
      listSource: ({ source }) =>
        Promise.resolve({
          resolved: source,
          files: ['config.json', 'model.safetensors', 'tokenizer.json'].map((path) => ({ path, size: 1 })),
        }),
      findArtifact: ({ dir }) =>
        Promise.resolve(dir.endsWith('/hf') ? {} : { artifact: { dir, digest: 'd', files: 1, bytes: 1 } }),
      fetchFiles: ({ dir }) => Promise.resolve({ dir: (brought.push(dir), dir), digest: 'd', files: 2, bytes: 2 }),
      syncFiles: ({ artifact }) => Promise.resolve((brought.push(artifact.dir), artifact)),
      convertCheckpoint: () => Promise.reject(ApplicationFailure.nonRetryable('nobody asked for this')),
      launchTraining: (input) => Promise.resolve(void launches.push(input)),
      listCheckpoints: () => Promise.resolve(launches.length > 0 ? holding(shard, 10) : []),
    });
    let crashes = 1;
    const a = await cluster.node('a', {
      ...member('mp_rank_00_000'),
      watchTraining: async (input) =>
        crashes-- > 0 ? crash('a', 'KeyError').watchTraining() : quietNode({} as NodeInfo).watchTraining(input),
    });
    const b = await cluster.node('b', member('mp_rank_00_001'));
    const model = { preset: 'qwen3-tiny', init: 'pretrained', weights: 'hf://a/w', convert: 'online' };
    expect(await result(await start(cluster, { ...cluster.runFile(), model }))).toMatchObject({ generations: 2 });

    const [weights] = brought;
    expect(brought).toEqual([weights, weights]);
    expect([a, b].filter(({ calls }) => calls.includes('fetchFiles'))).toHaveLength(1);
    const flag = ({ script }: LaunchTrainingInput, name: string) => script[script.indexOf(name) + 1];
    const [first, again] = [launches.slice(0, 2), launches.slice(2)];
    for (const launch of first) {
      expect(launch.script).toContain('--enable-hf2mg-convert');
      expect([flag(launch, '--load'), launch.loads]).toEqual([weights, 0]);
      expect(launch.published).toMatchObject({ num_hidden_layers: 4 });
    }
    expect(again).toHaveLength(2);
    for (const launch of again) {
      expect(launch.script.filter((word) => /hf2mg|--mg-|--finetune|--no-load/.test(word))).toEqual([]);
      expect([flag(launch, '--load'), launch.loads]).toEqual([flag(launch, '--save'), 10]);
      expect(launch).not.toHaveProperty('published');
    }
  });

  it('is refused before a byte is fetched where the trainer would convert online on one node alone', async (test) => {
    const cluster = await startFakeCluster(test);
    const nodes = [];
    for (const name of ['a', 'b']) {
      const quiet = quietNode({ name: `${name}-${cluster.pool}` } as NodeInfo);
      nodes.push(
        await cluster.node(name, {
          checkNode: async (input) => ({ ...(await quiet.checkNode(input)), hostname: 'localhost' }),
        }),
      );
    }
    const model = { preset: 'qwen3-tiny', init: 'pretrained', weights: 'hf://a/w', convert: 'online' };
    const failure = await failureOf(await start(cluster, { ...cluster.runFile(), model }));
    expect(failure).toMatchObject({ type: 'InvalidInput', nonRetryable: true });
    expect(failure.message).toContain(
      'model.convert: expected "offline" on these nodes, got "online": all nodes have the host name localhost',
    );
    for (const { calls } of nodes) expect(calls).not.toContain('listSource');
  });

  it('goes on from an older checkpoint when the newest is damaged on every node that has it', async (test) => {
    const cluster = await startFakeCluster(test);
    const restored: number[] = [];
    const listing = (shard: string) => ({ listCheckpoints: () => Promise.resolve(holding(shard, 5, 10)) });
    await cluster.node('a', {
      ...listing('mp_rank_00_000'),
      restoreCheckpoint: ({ iteration }) => {
        restored.push(iteration);
        if (iteration !== 10) return Promise.resolve({});
        const details = [{ iteration, shard: 'mp_rank_00_000', digest: 'mp_rank_00_000@10', node: 'a' }];
        return Promise.reject(ApplicationFailure.create({ type: 'DataCorrupt', nonRetryable: true, details }));
      },
    });
    const onOther: string[] = [];
    await cluster.node('b', {
      ...listing('mp_rank_00_001'),
      async restoreCheckpoint({ iteration }) {
        onOther.push(`begins ${iteration}`);
        await new Promise((resolve) => setTimeout(resolve, 500));
        onOther.push(`ends ${iteration}`);
        return {};
      },
    });
    expect(await result(await start(cluster, cluster.runFile()))).toMatchObject({ iteration: 20 });
    expect(restored).toEqual([10, 5]);
    // Else it might write its tracker last.
    expect(onOther).toEqual(['begins 10', 'ends 10', 'begins 5', 'ends 5']);
  });

  it('is not a success because every exit code is 0', async (test) => {
    const cluster = await startFakeCluster(test);
    const unclear = { watchTraining: () => Promise.resolve({ exitCode: 0, verdict: { outcome: 'unclear' as const } }) };
    await cluster.node('a', unclear);
    await cluster.node('b', unclear);
    const failure = await failureOf(await start(cluster, cluster.runFile()));
    expect(failure.type).toBe('NoProgress');
    expect(failure.message).toContain('neither that training is done nor why it ended');
  });
});

it.concurrent(
  'says on its page when copies of checkpoints are behind, why, and no longer when they are not',
  async (test) => {
    const cluster = await startFakeCluster(test);
    let [isAway, isFull] = [true, true];
    const full = 'the disk of b is full';
    const why = 'a does not answer at http://127.0.0.1:1';
    const silent = ApplicationFailure.create({
      ...{ message: why, type: 'CommandFailed', nonRetryable: true, details: [{ node: 'b', silent: 'a', why }] },
    });
    const copier = async ({ token, task, reportTo, until }: ReplicateCheckpointInput) => {
      if (isAway) throw silent;
      const handle = cluster.client.workflow.getHandle(reportTo.workflowId);
      await handle.signal('copiesBehind', { token, task, why: full });
      for (; isFull; await sleepFor(50)) heartbeat();
      await handle.signal('checkpointReplicated', { token, task, iteration: 10, bytes: 1 });
      return { iteration: until };
    };
    await cluster.node('a', { ...endless, replicateCheckpoint: copier });
    await cluster.node('b', {
      replicateCheckpoint: copier,
      // On a busy machine a heartbeat may be missed: the next generation is told as well.
      watchTraining: async ({ token, reportTo }) => {
        const generation = cluster.client.workflow.getHandle(reportTo!.workflowId);
        await generation.signal('trainingProgress', { token, iteration: 12, saved: 10, points: [] });
        return endless.watchTraining();
      },
    });
    const handle = await start(cluster, cluster.runFile());
    const page = async (wanted: (text: string) => boolean) => {
      while (!wanted(await handle.query<string>('status'))) await sleepFor(50);
    };
    await page((text) => text.includes(`copies are behind: iteration 10 is saved, none copied; ${why}`));
    isAway = false;
    await page((text) => text.includes(`none copied; ${full}`));
    isFull = false;
    await page((text) => !text.includes('copies are behind') && text.includes('checkpoint: iteration 10, complete'));
    await handle.terminate();
  },
);

it.concurrent('believes what was said last, and not what arrives last, and keeps the points of both', async (test) => {
  const cluster = await startFakeCluster(test);
  await cluster.node('a', endless);
  await cluster.node('b', endless);
  const handle = await start(cluster, cluster.runFile());
  const page = () => handle.query<string>('status');
  while (!(await page()).includes('generation 1 (')) await sleepFor(50);
  const at = Date.now() + 1e6;
  const said = (news: object) => handle.signal('generationNews', { generation: 1, replicated: 0, ...news });
  await said({ at, iteration: 9, troubles: ['copies are behind'], points: [[9, 1]] });
  await said({ at: at - 1, iteration: 8, points: [[8, 2]], lostSpares: ['none-of-its-own'] });
  while (!(await handle.query<RunState>('runState')).curve.some(([iteration]) => iteration === 8)) await sleepFor(50);
  expect(await handle.query<RunState>('runState')).toMatchObject({
    ...{ iteration: 9, troubles: ['copies are behind'] },
    curve: [
      [8, 2],
      [9, 1],
    ],
  });
  await handle.terminate();
});

it.concurrent('says on its page why no stop is confirmed, and until when it is asked for', async (test) => {
  const cluster = await startFakeCluster(test);
  let isFull = true;
  const full =
    'a: stop of generation 1: the disk is full, of bytes or of files (df, df -i). Make room there, then start the run again';
  await cluster.node('a', {
    ...crash('a', 'OSError: No space left on device'),
    stopTraining: () =>
      isFull
        ? Promise.reject(ApplicationFailure.nonRetryable(full, 'EnvCheckFailed'))
        : Promise.resolve({ node: 'a', confirmed: true, logPath: '/log' }),
  });
  const handle = await start(cluster, cluster.runFile({ cluster: { nodes: 1 }, parallel: { pp: 1 } }));
  const page = () => handle.query<string>('status');
  while (!(await page()).includes(full)) await sleepFor(50);
  expect(await page()).toMatch(
    /no node confirms that its ranks have ended: asked again until \d\d:\d\d:\d\d UTC, when the lease has ended everywhere; a: stop/,
  );
  isFull = false;
  while ((await page()).includes('no node confirms')) await sleepFor(50);
  await handle.terminate();
});

describe.concurrent('when a generation fails', () => {
  it('a lost node is replaced by the spare, and only after the others have stopped', async (test) => {
    const cluster = await startFakeCluster(test);
    let launches = 0;
    const first = {
      // Its ranks hang while the other is gone, and train when the spare is there.
      watchTraining: () => (launches++ === 0 ? endless.watchTraining() : Promise.resolve(done)),
    };
    const a = await cluster.node('a', first);
    const b = await cluster.node('b', {
      watchTraining: () => watchForEver({ iteration: 7, at: Date.now() }),
    });
    const c = await cluster.node('c');
    const handle = await start(cluster, cluster.runFile({ cluster: { spares: 1 }, recovery: QUICK }));
    while (!b.calls.includes('watchTraining')) await sleepFor(50);
    await b.switchOff();
    expect(await result(handle)).toMatchObject({ iteration: 20, generations: 2, failures: 1 });
    // Nobody but its watcher knew how far it was.
    const { failures, curves } = await handle.query<RunState>('runState');
    const [failed] = failures;
    expect(failed).toMatchObject({ cause: 'node', culprit: b.info.name, iteration: 7, endedAt: 0 });
    expect(c.calls).toContain('launchTraining');
    // Of what the lost one wrote for TensorBoard nobody has a copy.
    expect(curves).toMatchObject({ node: c.info.name, missing: [b.info.name] });
    expect(a.calls.filter((call) => /^(launch|stop)/.test(call))).toEqual([
      'launchTraining',
      'stopTraining',
      'launchTraining',
    ]);
  });

  it('a mistake of the user ends the run and names node, error and log', async (test) => {
    const cluster = await startFakeCluster(test);
    await cluster.node('a', crash('a', 'error: unrecognized arguments: --nonsense'));
    await cluster.node('b', endless);
    const failure = await failureOf(await start(cluster, cluster.runFile()));
    expect(failure).toMatchObject({ type: 'CommandFailed', nonRetryable: true });
    expect(failure.message).toMatch(/a-.*unrecognized arguments: --nonsense.*log: \/log/);
  });

  it('three times without a newer checkpoint, the run ends', async (test) => {
    const cluster = await startFakeCluster(test);
    const a = await cluster.node('a', crash('a', 'RuntimeError: something odd'));
    await cluster.node('b', endless);
    expect(await failureOf(await start(cluster, cluster.runFile()))).toMatchObject({ type: 'NoProgress' });
    expect(a.calls.filter((call) => call === 'launchTraining')).toHaveLength(3);
  });
});

it.concurrent('a cancelled run stops every member before it ends', async (test) => {
  const cluster = await startFakeCluster(test);
  const nodes = [await cluster.node('a', endless), await cluster.node('b', endless)];
  const handle = await start(cluster, cluster.runFile());
  while (!nodes.every(({ calls }) => calls.includes('watchTraining'))) await sleepFor(50);
  await handle.cancel();
  const error: unknown = await handle.result().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(WorkflowFailedError);
  expect((error as WorkflowFailedError).cause).toBeInstanceOf(CancelledFailure);
  expect(nodes.map(({ calls }) => calls.includes('stopTraining'))).toEqual([true, true]);
  expect(await handle.query<string>('status')).toMatch(/ · cancelled\n/);
});

it.concurrent('a run that is cancelled while it waits for nodes waits no more', async (test) => {
  const cluster = await startFakeCluster(test);
  await cluster.node('a');
  const handle = await start(cluster, cluster.runFile());
  while (!(await handle.query<string>('status')).includes('waits for')) await sleepFor(50);
  await handle.cancel();
  await expect(handle.result()).rejects.toBeInstanceOf(WorkflowFailedError);
  expect(await handle.query<string>('status')).toMatch(/ · cancelled\n/);
});

it.concurrent('what a terminated run held goes to the run that waits for it', async (test) => {
  const cluster = await startFakeCluster(test);
  let launches = 0;
  const once = { watchTraining: () => (launches++ < 2 ? endless.watchTraining() : Promise.resolve(done)) };
  const a = await cluster.node('a', once);
  await cluster.node('b', once);
  const first = await start(cluster, cluster.runFile());
  while (!a.calls.includes('watchTraining')) await sleepFor(50);
  await first.terminate();
  expect(await result(await start(cluster, cluster.runFile()))).toMatchObject({ iteration: 20 });
});

const done = { exitCode: 0, verdict: { outcome: 'finished' as const, lastIteration: 20, lastSaved: 20, loss: 1 } };
const sleepFor = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

it.concurrent('a large file, of which nodes take slices, is fetched once from outside', async (test) => {
  const cluster = await startFakeCluster(test);
  const fetched = new Set<string>();
  const copied: string[] = [];
  const add = (name: string) =>
    cluster.node(name, {
      listSource: ({ source }) => {
        const [path, size] = source.includes('data') ? ['data/a.parquet', 2 ** 30] : ['tokenizer.json', 1];
        return Promise.resolve({ resolved: source, files: [{ path, size, sha256: 'a'.repeat(64) }] });
      },
      findArtifact: ({ dir }) =>
        Promise.resolve(dir.startsWith('datasets') ? {} : { artifact: { dir, digest: 'd', files: 1, bytes: 1 } }),
      fetchFiles: ({ dir, files }) => {
        if (dir.startsWith('datasets')) fetched.add(`${files.map(({ path }) => path).join()} to ${name}`);
        return Promise.resolve({ dir, digest: 'd', files: 1, bytes: 1 });
      },
      syncFiles: ({ artifact, from }) => {
        if (artifact.dir.includes('/input/')) copied.push(`to ${name} of ${from.length}`);
        return Promise.resolve(artifact);
      },
    });
  await Promise.all([add('a'), add('b')]);
  await result(await start(cluster, cluster.runFile()));
  const [origin] = [...fetched];
  expect([...fetched]).toHaveLength(1);
  expect(copied).toEqual([origin === 'data/a.parquet to a' ? 'to b of 1' : 'to a of 1']);
});
