/** Before a launch nodes try each other: a node with which collectives fail, or whose devices reach nobody, does not train. */
import { ApplicationFailure } from '@temporalio/common';
import { describe, expect, it } from 'vitest';
import type { NodeActivities, TestPairInput } from '../../workflows/contract.js';
import { startFakeCluster } from '../support/fake-cluster.js';

const fails = (): Partial<NodeActivities> => ({
  testPair: () => Promise.reject(ApplicationFailure.create({ type: 'CommandFailed', message: 'EI0006: no answer' })),
});
const answers = (asked: TestPairInput[]): Partial<NodeActivities> => ({
  testPair: (input) => {
    asked.push(input);
    return Promise.resolve({ seconds: 0.1 });
  },
});
const proven =
  (name: string): NodeActivities['checkNode'] =>
  ({ first }) =>
    Promise.resolve({
      ...{ name, hostname: name, versions: {}, freeBytes: 1e12, clock: Date.now(), fingerprint: 'f', freePort: 1 },
      ...{ seesFirst: first === name, lacks: [], collectivesProven: true },
    });
const run = async (cluster: Awaited<ReturnType<typeof startFakeCluster>>, more: object): Promise<string> => {
  const file = cluster.runFile({ cluster: { nodes: 2, collectiveTest: true, ...more } });
  const options = { taskQueue: cluster.taskQueue, workflowId: crypto.randomUUID(), args: [file] };
  return cluster.client.workflow.execute('pretrain', options).then(
    () => 'completed',
    (error: { cause?: Error }) => String(error.cause?.message),
  );
};

describe('collectives that are tried before a launch', () => {
  it('replace the node with which they fail by the spare, and training goes on', async (test) => {
    const cluster = await startFakeCluster(test);
    const bad = await cluster.node('a', fails());
    const [good, spare] = [await cluster.node('b'), await cluster.node('c')];
    expect(await run(cluster, { spares: 1 })).toBe('completed');
    expect(bad.calls).toContain('testPair');
    expect(bad.calls).not.toContain('launchTraining');
    for (const { calls } of [good, spare]) expect(calls).toContain('launchTraining');
  });

  it('end a run where nobody can tell which of two it is; they are as the ranks will be, with less patience', async (test) => {
    const cluster = await startFakeCluster(test);
    const asked: TestPairInput[] = [];
    const nodes = [await cluster.node('a', answers(asked)), await cluster.node('b', fails())];
    expect(await run(cluster, {})).toMatch(
      /^collectives fail between a-\S+, b-\S+, and no other node is known to be good that could tell whose fault it is: EI0006: no answer/,
    );
    for (const { calls } of nodes) expect(calls.filter((call) => call === 'testPair')).toHaveLength(1);
    const [{ peer, torchrun, env, limitSeconds }] = asked as [TestPairInput];
    expect(peer).toBe(`b-${cluster.pool}`);
    expect(torchrun.join(' ')).toMatch(
      /^--nproc_per_node 1 --nnodes 2 --node_rank [01] --master_addr 127\.0\.0\.1 --master_port 1 /,
    );
    expect(Number(env['HCCL_CONNECT_TIMEOUT'])).toBeLessThan(limitSeconds);
  });

  it('are not tried between nodes that did well within the hour', async (test) => {
    const cluster = await startFakeCluster(test);
    const asked: TestPairInput[] = [];
    for (const name of ['a', 'b'])
      await cluster.node(name, { ...answers(asked), checkNode: proven(`${name}-${cluster.pool}`) });
    expect(await run(cluster, {})).toBe('completed');
    expect(asked).toEqual([]);
  });
});

describe("devices' own network, where nodes tell of one", () => {
  const device =
    (name: string): NodeActivities['checkNode'] =>
    (input) =>
      Promise.resolve(proven(name)(input)).then((report) => ({ ...report, deviceAddresses: [`10.0.0.${name[0]}`] }));
  /** Reaches nobody, nor does anybody reach it. */
  const cutOff = (lone: string, name: string, pinged: string[]): Partial<NodeActivities> => ({
    checkNode: device(name),
    pingDevices: ({ pings }) => {
      pinged.push(...pings.map(({ peer, address }) => `${name[0]} ${peer[0]} ${address}`));
      const failed = pings.filter(({ peer }) => name === lone || peer === lone);
      return Promise.resolve({ failed: failed.map((ping) => ({ ...ping, said: '100.00% packet loss' })) });
    },
  });

  it('replaces the node whose devices reach nobody by the spare, before anything is launched', async (test) => {
    const cluster = await startFakeCluster(test);
    const name = (letter: string) => `${letter}-${cluster.pool}`;
    const pinged: string[] = [];
    const nodes: Record<string, string[]> = {};
    for (const letter of ['a', 'b', 'c'])
      nodes[letter] = (await cluster.node(letter, cutOff(name('a'), name(letter), pinged))).calls;
    expect(await run(cluster, { collectiveTest: false, spares: 1 })).toBe('completed');
    expect(pinged.slice(0, 3).sort()).toEqual(['a b 10.0.0.b', 'b c 10.0.0.c', 'c a 10.0.0.a']);
    expect(nodes['a']).not.toContain('launchTraining');
    for (const letter of ['b', 'c']) expect(nodes[letter]).toContain('launchTraining');
  });

  it('ends a run of two that do not reach each other, with both, the device and what the tool said', async (test) => {
    const cluster = await startFakeCluster(test);
    for (const letter of ['a', 'b']) {
      const name = `${letter}-${cluster.pool}`;
      await cluster.node(letter, cutOff(`a-${cluster.pool}`, name, []));
    }
    expect(await run(cluster, { collectiveTest: false })).toMatch(
      /^no device network between a-\S+ and b-\S+ \(device 0, to 10\.0\.0\.b: 100\.00% packet loss\)\. Look at/,
    );
  });
});
