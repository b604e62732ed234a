import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { sha256 } from '../../../activities/artifact.js';
import { FenceDamaged, newestToken, refusal } from '../../../activities/fence.js';
import { grantOf } from '../../../activities/grants.js';
import { mutated } from '../mutate.js';
import type { Target } from '../target.js';

const token = 'a'.repeat(43);
export const files: Record<string, { path: string; good: object; read(dir: string): Promise<void> }> = {
  fence: {
    path: 'runs/fence.json',
    good: { token: 8, launch: 'r/gen-1-8', stopped: 7 },
    async read(dir) {
      try {
        const newest = await newestToken(dir);
        if (!Number.isSafeInteger(newest)) throw new Error(`token ${newest}`);
        await refusal(dir, 3, 'r/gen-1-3');
      } catch (error) {
        if (!(error instanceof FenceDamaged)) throw error;
      }
    },
  },
  grant: {
    path: `access/${sha256(token)}.json`,
    good: { run: 'r', series: 's', expires: 2_000_000_000_000 },
    async read(dir) {
      const grant = await grantOf(dir, `Bearer ${token}`, 1_900_000_000_000);
      if (grant && !(typeof grant.series === 'string' && grant.expires > 1_900_000_000_000))
        throw new Error(`granted ${JSON.stringify(grant)}`);
    },
  },
};

let dir: string | undefined;

/** What a crash or a disk left of a file that a node keeps for itself: read, or known as damaged; never half-believed. */
export const stateFiles: Target<[string, Buffer]> = {
  name: 'state-files',
  inputs: fc.oneof(
    ...Object.entries(files).map(([name, { good }]) =>
      fc.tuple(fc.constant(name), mutated([Buffer.from(JSON.stringify(good))])),
    ),
  ),
  async check([name, bytes]) {
    dir ??= mkdtempSync(join(tmpdir(), 'fuzz-state-'));
    const { path, read } = files[name]!;
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), bytes);
    await read(dir);
  },
  close() {
    if (dir) rmSync(dir, { recursive: true, force: true });
    dir = undefined;
    return Promise.resolve();
  },
};
