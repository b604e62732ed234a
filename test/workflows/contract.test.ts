import { expect, test, vi } from 'vitest';
import { onNode } from '../../workflows/contract.js';

/** Calls answer with the options that they are made with. */
vi.mock('@temporalio/workflow', async (original) => ({
  ...(await original<object>()),
  proxyActivities: (options: object) => new Proxy({}, { get: () => () => Promise.resolve(options) }),
}));

const MINUTES: Record<string, number> = { minutes: 1, hours: 60, days: 24 * 60 };

test('a node is not taken for lost while a source asks it for patience: as often, and as long, as is waited for', async () => {
  const timing = { heartbeat: '30s', agentAway: '1m', agentGrace: '10m', lease: '30m', stopGrace: '1m' };
  const listing = onNode('n01', timing).listSource({ source: 'hf://a/b' });
  const { startToCloseTimeout } = (await listing) as unknown as { startToCloseTimeout: string };
  const [amount, unit] = startToCloseTimeout.split(' ') as [string, string];
  // Four pauses of two minutes for each of two questions, and half a minute for each answer.
  expect(Number(amount) * MINUTES[unit]!).toBeGreaterThan(2 * (4 * 2 + 5 * 0.5));
});
