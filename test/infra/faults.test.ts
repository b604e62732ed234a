/** What the demo does half-way, and how it counts what that cost. */
import { describe, expect, it } from 'vitest';
import { faults, lossOf, strike } from '../../infra/demo/faults.js';
import type { Metric } from '../../infra/demo/metrics.js';
import type { Stack } from '../../infra/demo/stack.js';

const trained = (generation: number, from: number, to: number, at: number): Metric[] =>
  Array.from({ length: to - from + 1 }, (_, index) => ({ generation, iteration: from + index, at: at + index * 100 }));

/** A cluster that notes what is done to it, in order. */
function noting() {
  const notes: string[] = [];
  const part = (name: string) => ({
    kill: async (signal = 'SIGTERM') => void notes.push(`kill ${name} ${signal}`),
    start: async () => void notes.push(`start ${name}`),
  });
  const stack = {
    ...{ dir: '/d', nodes: ['n1', 'n2'], server: part('server'), control: part('control'), node: part },
    onPostgres: {
      backUp: async (folder: string) => void notes.push(`back up ${folder}`),
      restore: async (folder: string) => void notes.push(`restore ${folder}`),
    },
  };
  return { notes, stack: stack as unknown as Stack };
}

const play = (name: keyof typeof faults, reached: number, done = false) => {
  const { notes, stack } = noting();
  const metrics = async () => trained(1, 1, reached, Date.now() - 10_000);
  const run = { stack, metrics, iterations: 100, done: { yet: done }, say: () => undefined };
  return { notes, struck: strike(name, run) };
};

describe('half-way', () => {
  it('the server is killed without a warning, and started again', async () => {
    const { notes, struck } = play('kill-server', 50);
    expect(await struck).toMatchObject({ iteration: 50, generation: 1 });
    expect(notes).toEqual(['kill server SIGKILL', 'start server']);
  });

  it('a backup is restored while no control worker remembers more, and nodes join again afterwards', async () => {
    const { notes, struck } = play('restore-server', 50);
    await struck;
    expect(notes.slice(0, 4)).toEqual([
      'back up /d/backup',
      'kill control SIGTERM',
      'restore /d/backup',
      'start control',
    ]);
    expect(notes.slice(4).sort()).toEqual(['kill n1 SIGTERM', 'kill n2 SIGTERM', 'start n1', 'start n2']);
  });

  it('is refused as a proof when the run was over by then', async () => {
    await expect(play('kill-server', 100).struck).rejects.toThrow('more --iterations');
    await expect(play('kill-server', 10, true).struck).rejects.toThrow('the run ended before --kill-server');
  });
});

describe('what it cost', () => {
  const struck = { at: 5000, iteration: 50, generation: 1, isAsExpected: faults['kill-node'].isAsExpected };

  it('is what the next generation trains again, and the time to its first iteration', () => {
    const metrics = [...trained(1, 1, 50, 0), ...trained(2, 41, 60, 9000)];
    expect(lossOf(metrics, struck)).toEqual({ lost: 10, seconds: 4 });
  });

  it('is nothing when training went on', () => {
    expect(lossOf(trained(1, 1, 60, 0), struck)).toEqual({ lost: 0, seconds: 0.1 });
    expect(faults['kill-server'].isAsExpected(1, 0)).toBe(true);
    expect(faults['kill-server'].isAsExpected(2, 0)).toBe(false);
    expect(faults['restore-server'].isAsExpected(1, 1)).toBe(false);
    expect(faults['kill-node'].isAsExpected(1, 0)).toBe(false);
  });

  it('cannot be told when nothing was trained afterwards', () => {
    expect(() => lossOf(trained(1, 1, 40, 0), struck)).toThrow('nothing was trained afterwards');
  });
});
