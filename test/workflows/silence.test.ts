/** A step whose worker goes silent before the ranks are launched, and one that has nobody to copy from. */
import { heartbeat, sleep } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { noteProblem, nobodyAnswers, nobodyHas, taskOf } from '../../activities/pull-task.js';
import type { Artifact, AsksHolders, MergeShardsInput, NodeActivities, Peer } from '../../workflows/contract.js';
import { afterSilence, createQuestions } from '../../workflows/silent-holders.js';
import { toAsk } from '../../workflows/still-there.js';
import { QUICK, startFakeCluster, type FakeCluster, type FakeNode } from '../support/fake-cluster.js';
import { quietNode } from '../support/quiet-node.js';
import { testNode } from '../support/test-node.js';
import { until } from '../support/until.js';

/** As a task that a dead host's poll took, or one that died with its worker. */
const silence = async (isOver: () => boolean): Promise<never> => {
  while (!isOver()) await sleepFor(50);
  throw new Error('nobody waits for it any more');
};
const training: Partial<NodeActivities> = {
  watchTraining: async () => {
    for (; ; await sleep(50)) heartbeat();
  },
};
const run = (cluster: FakeCluster, changes: Parameters<FakeCluster['runFile']>[0]) =>
  cluster.client.workflow.start('pretrain', {
    ...{ workflowId: `run-${cluster.pool}`, taskQueue: cluster.taskQueue },
    args: [cluster.runFile({ ...changes, recovery: QUICK })],
  });
const quiet = (name: string) => quietNode({ name, address: '127.0.0.1', port: 1, devices: 1, profile: 'cpu' });

it.concurrent('is done again at once where the worker answers', async (test) => {
  const cluster = await startFakeCluster(test);
  let [checks, isOver] = [0, false];
  const node = await cluster.node('a', {
    ...training,
    checkNode: (input) => (++checks === 1 ? silence(() => isOver) : quiet('a').checkNode(input)),
  });
  const handle = await run(cluster, { cluster: { nodes: 1 }, parallel: { pp: 1 } });
  await until(() => node.calls.includes('watchTraining'), 50);
  const since = node.calls.slice(node.calls.indexOf('checkNode'));
  expect(since.slice(0, 3)).toEqual(['checkNode', 'pingNode', 'checkNode']);
  isOver = true;
  await handle.terminate();
});

it.concurrent(
  'is not done again where the worker does not answer: its node is lost, and a spare takes its place',
  async (test) => {
    const cluster = await startFakeCluster(test);
    let [isAway, isOver] = [false, false];
    const away = await cluster.node('a', {
      ...training,
      checkNode: () => ((isAway = true), silence(() => isOver)),
      pingNode: () =>
        isAway
          ? Promise.reject(ApplicationFailure.nonRetryable('away', 'CommandFailed'))
          : quiet(`a-${cluster.pool}`).pingNode(),
    });
    const spare = await cluster.node('b', training);
    const handle = await run(cluster, { cluster: { nodes: 1, spares: 1 }, parallel: { pp: 1 } });
    await until(() => spare.calls.includes('watchTraining'), 50);
    expect(away.calls.filter((call) => call === 'checkNode')).toHaveLength(1);
    // It fails at once, and is not asked without a pause.
    expect(away.calls.slice(away.calls.indexOf('checkNode')).length).toBeLessThan(15);
    expect(await handle.query<string>('status')).toContain(`${away.info.name} was lost in phase check`);
    isOver = true;
    await handle.terminate();
  },
);

it('those that do not give what they have are asked again ever later where they answer, and are lost where none does', () => {
  expect([1, 2, 3, 4].map((times) => afterSilence(times, true))).toEqual(
    [1000, 2000, 4000, 8000].map((pauseMs) => ({ pauseMs })),
  );
  expect([afterSilence(5, true), afterSilence(1, false), afterSilence(5, false)]).toEqual(['given up', 'lost', 'lost']);
});

it('are asked once at a time, however many want to know, until one of them answers', async () => {
  const asked: string[] = [];
  const answer = new Map<string, (isThere: boolean) => void>();
  const isAnyThere = createQuestions((name) => {
    asked.push(name);
    return new Promise((resolve) => answer.set(name, resolve));
  });
  const both = [isAnyThere(['a', 'b']), isAnyThere(['b']), isAnyThere(['a'])];
  expect(asked).toEqual(['a', 'b']);
  answer.get('b')!(true);
  expect(await Promise.all(both.slice(0, 2))).toEqual([true, true]);
  answer.get('a')!(false);
  expect(await both[2]).toBe(false);
  const later = isAnyThere(['a']);
  expect(asked).toEqual(['a', 'b', 'a']);
  answer.get('a')!(true);
  expect(await later).toBe(true);
});

it('who was lost in a merge was asked, and who did not give its part may be away for a while', () => {
  const lost = ApplicationFailure.create({ type: 'NodeLost', message: 'a', details: [{ node: 'a' }] });
  const silent = ApplicationFailure.create({ type: 'HoldersAway', message: 'b', details: [{ unanswered: ['b'] }] });
  expect(['a', 'b', 'c'].map((name) => toAsk(lost, name))).toEqual(['nothing', 'once', 'once']);
  expect(['a', 'b', 'c'].map((name) => toAsk(silent, name))).toEqual(['once', 'patiently', 'once']);
});

/** As a real node says it that gets nothing from these. */
async function gotNothing({ artifact, from, asksHolders }: { artifact: Artifact; from: Peer[] } & AsksHolders) {
  const pull = taskOf(await testNode('receiver'), { artifact, from, asksHolders });
  for (const { name } of from) noteProblem(pull, name, 'cannot be reached', false);
  return asksHolders ? nobodyAnswers(pull) : nobodyHas(pull, { path: 'manifest.json' });
}

/** A node with a dataset to be made, of three files; `isAway` says when its worker does not answer. */
const making = (cluster: FakeCluster, name: string, isAway: () => boolean, changes: Partial<NodeActivities>) =>
  cluster.node(name, {
    ...training,
    pingNode: () =>
      isAway()
        ? Promise.reject(ApplicationFailure.nonRetryable('away', 'CommandFailed'))
        : quiet(`${name}-${cluster.pool}`).pingNode(),
    listSource: ({ source }) => {
      const paths = source.includes('data')
        ? ['data/a.parquet', 'data/b.parquet', 'data/c.parquet']
        : ['tokenizer.json'];
      return Promise.resolve({ resolved: source, files: paths.map((path) => ({ path, size: 2 ** 30 })) });
    },
    findArtifact: (input) => (input.dir.startsWith('datasets') ? Promise.resolve({}) : quiet(name).findArtifact(input)),
    preprocessShard: ({ key, shard }) =>
      Promise.resolve({
        artifact: { dir: `datasets/${key}/shards/${shard}`, digest: `d${shard}`, files: 1, bytes: 1 },
        ...{ documents: 1, tokens: 1 },
      }),
    ...changes,
  });

/** Two nodes and a spare, of which two train then. */
async function trained(cluster: FakeCluster, nodes: FakeNode[]): Promise<string> {
  const handle = await cluster.client.workflow.start('pretrain', {
    ...{ workflowId: `run-${cluster.pool}`, taskQueue: cluster.taskQueue },
    args: [{ ...cluster.runFile({ cluster: { spares: 1 }, recovery: QUICK }), preprocess: { shards: 3 } }],
  });
  await until(() => nodes.filter(({ calls }) => calls.includes('watchTraining')).length === 2, 100);
  const page = await handle.query<string>('status');
  await handle.terminate();
  return page;
}

/** Of three nodes the first has the dataset; `give` says whether the others have it from there. */
async function holding(cluster: FakeCluster, give: (holder: FakeNode) => boolean, isAway: () => boolean) {
  const nodes: FakeNode[] = [];
  for (const name of ['a', 'b', 'c'])
    nodes.push(
      await making(cluster, name, name === 'a' ? isAway : () => false, {
        ...(name === 'a' && { findArtifact: (input) => quiet(name).findArtifact(input) }),
        async syncFiles(input) {
          const isFirst = input.from.some((peer) => peer.name === nodes[0]!.info.name);
          if (isFirst && !give(nodes[0]!)) throw await gotNothing(input);
          return input.artifact;
        },
      }),
    );
  return nodes;
}

it.concurrent('the only one that has the data and is lost is replaced as soon as it does not answer', async (test) => {
  const cluster = await startFakeCluster(test);
  let copies = 0;
  const isAway = () => copies > 0;
  const nodes = await holding(cluster, () => ++copies === 0, isAway);
  const page = await trained(cluster, nodes);
  expect(copies).toBeLessThanOrEqual(2);
  expect(page).toContain(`${nodes[0]!.info.name} was lost in phase data`);
});

it.concurrent('the only one that has the data and answers is asked for it again, and stays', async (test) => {
  const cluster = await startFakeCluster(test);
  let [copies, pings] = [0, 0];
  // Its worker starts again, and is not there at first.
  const isAway = () => copies > 0 && ++pings < 3;
  const nodes = await holding(cluster, () => (++copies, pings >= 3), isAway);
  const page = await trained(cluster, nodes);
  expect([3, 4]).toContain(copies);
  expect(page).not.toMatch(/was lost|begins again/);
});

const sendersOf = ({ shards }: MergeShardsInput) => shards.flatMap(({ from }) => from.map(({ name }) => name));

/** Of three nodes each makes one shard. `merge` says whose is not to be had, and `isAway` who does not answer. */
async function merging(
  cluster: FakeCluster,
  merge: (at: string, senders: string[]) => Promise<string | undefined>,
  isAway: (name: string) => boolean,
): Promise<FakeNode[]> {
  const add = (name: string) => {
    const at = `${name}-${cluster.pool}`;
    return making(cluster, name, () => isAway(at), {
      async mergeShards(input) {
        const silent = await merge(at, sendersOf(input));
        const lacking = input.shards.find(({ from }) => silent !== at && from.some((peer) => peer.name === silent));
        if (lacking) throw await gotNothing({ ...lacking, ...(input.asksHolders && { asksHolders: true }) });
        return quiet(name).mergeShards(input);
      },
    });
  };
  return [await add('a'), await add('b'), await add('c')];
}

it.concurrent('shards of the node that is lost as it merges are made again, and merged elsewhere', async (test) => {
  const cluster = await startFakeCluster(test);
  const merges: { at: string; senders: string[] }[] = [];
  let isOver = false;
  const merge = async (at: string, senders: string[]) => {
    merges.push({ at, senders });
    return merges.length === 1 ? silence(() => isOver) : merges[0]!.at;
  };
  await trained(cluster, await merging(cluster, merge, (name) => name === merges[0]?.at));
  isOver = true;
  expect(merges).toHaveLength(2);
  const [first, second] = merges;
  expect(new Set(first!.senders).size).toBe(3);
  expect(second!.at).not.toBe(first!.at);
  expect([second!.senders.length, second!.senders.includes(first!.at)]).toEqual([3, false]);
});

it.concurrent(
  'shards that a merge does not get are asked for again while their node answers, else made again',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const merges: { at: string; senders: number }[] = [];
    let silent: string | undefined;
    const merge = (at: string, senders: string[]) => {
      merges.push({ at, senders: new Set(senders).size });
      silent ??= senders.find((name) => name !== at);
      return Promise.resolve(silent);
    };
    await trained(cluster, await merging(cluster, merge, (name) => merges.length > 1 && name === silent));
    const { at } = merges[0]!;
    expect(merges).toEqual([3, 3, 2].map((senders) => ({ at, senders })));
  },
);
