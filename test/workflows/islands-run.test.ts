/** Runs on two nodes that share their storage and one that has its own: what goes where, and in which order. */
import { sleep } from '@temporalio/activity';
import { ApplicationFailure, WorkflowFailedError } from '@temporalio/client';
import { expect, it, type TestContext } from 'vitest';
import type { LaunchTrainingInput, NodeActivities, ReplicateCheckpointInput } from '../../workflows/contract.js';
import type { Sees } from '../../workflows/islands.js';
import type { RunState } from '../../workflows/status.js';
import { startFakeCluster, type FakeCluster } from '../support/fake-cluster.js';
import { quietNode } from '../support/quiet-node.js';

/** How many steps that write one directory of one storage are under way, at most. */
function countWriters() {
  const now = new Map<string, number>();
  const most = new Map<string, number>();
  return {
    most,
    async write(key: string): Promise<void> {
      const count = (now.get(key) ?? 0) + 1;
      now.set(key, count);
      most.set(key, Math.max(count, most.get(key) ?? 0));
      await sleep(60);
      now.set(key, now.get(key)! - 1);
    },
  };
}

interface Seen {
  writers: ReturnType<typeof countWriters>;
  launches: LaunchTrainingInput[];
  copies: Map<string, ReplicateCheckpointInput['copies']>;
}

/** Nodes `a` and `b` find what each other wrote, `c` what it wrote itself, unless `sees` says otherwise. */
async function mixedCluster(test: TestContext, sees?: (cluster: FakeCluster, name: string) => string[]) {
  const cluster = await startFakeCluster(test);
  const seen: Seen = { writers: countWriters(), launches: [], copies: new Map() };
  const full = (name: string) => `${name}-${cluster.pool}`;
  const add = (name: string) => {
    const storage = name === 'c' ? 'own' : 'shared';
    const found = sees?.(cluster, name) ?? (name === 'c' ? ['c'] : ['a', 'b']);
    const names = found.map(full);
    const all: Sees = { datasets: names, models: names, series: names };
    const info = { name: full(name), address: '127.0.0.1', port: 1, devices: 1, profile: 'cpu' as const };
    const quiet = quietNode(info);
    const changes: Partial<NodeActivities> = {
      checkNode: async (input) => ({ ...(await quiet.checkNode(input)), sees: all }),
      listSource: ({ source }) =>
        Promise.resolve({
          resolved: source,
          files: [{ path: source.endsWith('tokenizer') ? 'tokenizer.json' : 'x.jsonl', size: 9 }],
        }),
      // The dataset is nowhere, the tokenizer on the lone node alone.
      findArtifact: (input) =>
        input.dir.startsWith('models/') && name === 'c' ? quiet.findArtifact(input) : Promise.resolve({}),
      fetchFiles: async (input) => {
        await seen.writers.write(`fetch to ${storage} ${input.dir.split('/')[0]}`);
        return quiet.fetchFiles(input);
      },
      syncFiles: async (input) => {
        await seen.writers.write(`copy to ${storage} ${input.artifact.dir.split('/')[0]}`);
        return quiet.syncFiles(input);
      },
      launchTraining: async (input) => void seen.launches.push(input),
      replicateCheckpoint: async (input) => {
        seen.copies.set(name, input.copies);
        return quiet.replicateCheckpoint(input);
      },
    };
    return cluster.node(name, changes);
  };
  const nodes = { a: await add('a'), b: await add('b'), c: await add('c') };
  const start = (changes: object = {}) =>
    cluster.client.workflow.start('pretrain', {
      ...{ workflowId: `run-${cluster.pool}`, taskQueue: cluster.taskQueue },
      args: [cluster.runFile({ cluster: { spares: 1, ...changes }, train: { replicas: 1 } })],
    });
  return { nodes, seen, start, full };
}

const failureOf = async (result: Promise<unknown>): Promise<ApplicationFailure> => {
  const error: unknown = await result.then(
    () => undefined,
    (failed: unknown) => failed,
  );
  let cause: unknown = error instanceof WorkflowFailedError ? error.cause : error;
  while (cause instanceof Error && !(cause instanceof ApplicationFailure)) cause = cause.cause;
  if (!(cause instanceof ApplicationFailure)) throw new Error(`the run did not fail as expected: ${String(error)}`);
  return cause;
};

it('brings files to each storage once, copies to another one, and keeps indices apart', async (test) => {
  const { nodes, seen, start, full } = await mixedCluster(test);
  const handle = await start();
  expect(await handle.result()).toMatchObject({ iteration: 20, generations: 1 });

  // Shards of one file on both nodes of a storage, and copies to both: never two at a time.
  const { most } = seen.writers;
  expect(most.get('fetch to shared datasets')).toBe(1);
  expect(most.get('copy to shared models')).toBe(1);
  expect(nodes.a.calls).toContain('fetchFiles');
  expect(nodes.b.calls).toContain('fetchFiles');
  for (const { calls } of [nodes.a, nodes.b])
    expect(calls.filter((call) => call === 'syncFiles').length).toBeGreaterThan(0);
  // What the dataset was made of is removed once from each storage.
  expect([nodes.a, nodes.b].flatMap(({ calls }) => calls.filter((call) => call === 'removeParts'))).toHaveLength(1);
  expect(nodes.c.calls).toContain('removeParts');

  const from = (name: string) => seen.copies.get(name)?.map((copy) => copy.from.name) ?? [];
  expect(from('c').sort()).toEqual([full('a'), full('b')]);
  expect([...from('a'), ...from('b')]).toEqual([]);

  expect(seen.launches).toHaveLength(2);
  for (const { script } of seen.launches)
    expect(script.join(' ')).toMatch(/--no-shared-storage --data-cache-path cache\/indices\/[0-9a-f]{20}( |$)/);
  const page = await handle.query<string>('status');
  expect(page).toContain(`storage: in datasets ${full('a')}, ${full('b')} find what each other wrote`);
  expect(page).toContain(`${full('c')} finds only what it wrote itself`);
}, 120_000);

it('counts nothing as a copy, and reads nothing again, where all nodes have one storage of checkpoints', async (test) => {
  const { seen, start } = await mixedCluster(test, () => ['a', 'b', 'c']);
  const handle = await start();
  expect(await handle.result()).toMatchObject({ iteration: 20, generations: 1 });
  // Who writes seals; the third one has nothing to do.
  expect([...seen.copies.values()]).toEqual([[], []]);
  expect(await handle.query<RunState>('runState')).not.toHaveProperty('copies');
}, 120_000);

it('refuses a run file that calls such storage shared, or not shared, with what was found', async (test) => {
  const { start, full, seen } = await mixedCluster(test);
  const shared = await failureOf((await start({ sharedStorage: true })).result());
  expect(shared).toMatchObject({ type: 'EnvCheckFailed' });
  expect(shared.message).toContain(
    `cluster.sharedStorage is true, but in datasets ${full('a')}, ${full('b')} find what each other wrote, and nothing of others; ${full('c')} finds only what it wrote itself`,
  );
  const apart = await failureOf((await start({ sharedStorage: false })).result());
  expect(apart.message).toContain(`cluster.sharedStorage is false, but in datasets ${full('a')}, ${full('b')} find`);
  expect(seen.launches).toEqual([]);
}, 120_000);

it('refuses nodes of which one finds what the other wrote, and not the other way round', async (test) => {
  const { start, full } = await mixedCluster(test, (_, name) => (name === 'a' ? ['a', 'b'] : [name]));
  const failure = await failureOf((await start()).result());
  expect(failure).toMatchObject({ type: 'EnvCheckFailed' });
  expect(failure.message).toContain(
    `in datasets ${full('a')} finds what ${full('b')} wrote, and ${full('b')} does not find what ${full('a')} wrote`,
  );
}, 120_000);
