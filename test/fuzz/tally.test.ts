import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { count, totals } from './tally.js';

it('adds up the inputs of all calls by door, and counts what was tried twice once', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'fuzz-tally-'));
  const path = join(dir, 'kept/tally.jsonl');
  const part = (door: string, seed: number, inputs: number, failure?: string) =>
    count(path, {
      door,
      seed,
      outcome: { inputs, seconds: 1, slowestMs: seed, rssMb: 9, ...(failure && { failure }) },
    });
  try {
    expect(await totals(path)).toEqual(new Map());
    await part('hub', 1, 100);
    await part('hub', 2, 40, 'it broke');
    await part('hub', 1, 100);
    await part('log', 1, 7);
    expect(await totals(path)).toEqual(
      new Map([
        ['hub', { inputs: 140, failures: 1, slowestMs: 2 }],
        ['log', { inputs: 7, failures: 0, slowestMs: 1 }],
      ]),
    );
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
