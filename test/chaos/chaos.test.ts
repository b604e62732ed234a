/**
 * A slice of the fault matrix, by its own program: real workers, torchrun and server on simulated hosts. Losing a control
 * worker, a node worker or the server is in e2e/main-job.test.ts.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { root } from '../../workers/config.js';
import { whyNot } from './namespaces.js';

const MINUTES = 60_000;
const CASES = ['rank-killed'];
const why = await whyNot();
if (why !== undefined) process.stderr.write(`the slice of the fault matrix is left out: ${why}\n`);

it.skipIf(why !== undefined)(
  `every invariant holds in the case ${CASES.join(' and ')}`,
  async () => {
    const results = await mkdtemp(join(tmpdir(), 'chaos-test-'));
    const program = ['--import', 'tsx', join(root, 'test/chaos/main.ts')];
    // Its bars are for a machine that does nothing else.
    const options = ['--only', CASES.join(), '--results', results, '--json', '--slack', '3'];
    try {
      const { stdout } = await promisify(execFile)(process.execPath, [...program, ...options], { cwd: root });
      expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toMatchObject({ cases: CASES.length, failed: 0 });
    } finally {
      await rm(results, { recursive: true, force: true });
    }
  },
  6 * MINUTES,
);
