import { expect, it } from 'vitest';
import type { Client } from '@temporalio/client';
import type { PoolState } from '../../workflows/roster.js';
import { drainNode } from '../../workers/drain.js';

/** A pool whose node n1 is held for so many looks. */
function poolOf(looks: number, refuse?: string) {
  const asked: unknown[] = [];
  const handle = {
    async executeUpdate(name: string, { args }: { args: unknown[] }) {
      asked.push([name, ...args]);
      if (refuse) throw new Error(refuse);
      return 'r is asked to move away from n1 at its next checkpoint';
    },
    async query(): Promise<Partial<PoolState>> {
      asked.push('look');
      const holder = looks-- > 0 ? { workflowId: 'r', runId: '1' } : undefined;
      return {
        nodes: [
          { name: 'n1', ...(holder && { holder }) },
          { name: 'n2', holder: { workflowId: 'q' } },
        ] as never,
      };
    },
  };
  const client = { workflow: { getHandle: (id: string) => (asked.push(id), handle) } } as unknown as Client;
  return { client, asked };
}

const said: string[] = [];
const options = { lookEveryMs: 1, say: (text: string) => void said.push(text) };

it('asks the pool for the drain of this node, and waits until no run holds it', async () => {
  const { client, asked } = poolOf(2);
  await drainNode(client, { name: 'n1', pool: 'big' }, options);
  expect(asked).toEqual([
    'pool-big',
    ['drain', expect.objectContaining({ node: 'n1', who: 'worker of n1' })],
    ...['look', 'look', 'look'],
  ]);
  expect(said).toEqual([
    'r is asked to move away from n1 at its next checkpoint',
    'no run holds n1; uncordon it when it is back',
  ]);
});

it('fails with what the pool says against it', async () => {
  const { client } = poolOf(0, 'node: expected one of the pool’s');
  await expect(drainNode(client, { name: 'n9', pool: 'big' }, options)).rejects.toThrow('expected one of the pool’s');
});
