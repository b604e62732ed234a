/** A copy that is killed at any instant leaves nothing that passes for complete, and the next one ends what it began. */
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { MANIFEST, readArtifact, sealArtifact } from '../../activities/artifact.js';
import { partialOf } from '../../activities/partial.js';
import { pullArtifact } from '../../activities/transfer.js';
import type { Artifact, Peer } from '../../workflows/contract.js';
import { faultyProxy } from '../support/faulty-proxy.js';
import { programOf } from '../support/own-program.js';
import { serving, testNode } from '../support/test-node.js';

const CHILD = fileURLToPath(new URL('../support/pull-child.mjs', import.meta.url));
const DIR = 'datasets/k';
const KILLS = 50;
const AT_ONCE = 2;
/** Of a copy that nobody kills. */
const SECONDS = 0.4;
const big = randomBytes(4_000_000);
const small = randomBytes(300_000);

async function child(dataDir: string, artifact: Artifact, from: Peer[]) {
  const { path, execArgv } = programOf(import.meta.url, '../../activities/transfer');
  const process = fork(CHILD, [path], { execArgv, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const exit = once(process, 'exit') as Promise<[number | null, string | null]>;
  await once(process, 'message');
  const asker = { name: 'n02', dataDir, copyRate: artifact.bytes / SECONDS };
  process.send({ asker, options: { artifact, from } });
  return { kill: () => process.kill('SIGKILL'), exit };
}

test('a copy killed at 50 random instants never passes for complete, and keeps the blocks that it had', async () => {
  const origin = await testNode('n01');
  await mkdir(join(origin.dataDir, DIR), { recursive: true });
  await writeFile(join(origin.dataDir, DIR, 'prefix.bin'), big);
  await writeFile(join(origin.dataDir, DIR, 'prefix.idx'), small);
  const artifact = await sealArtifact(origin.dataDir, DIR, undefined, { block: 2 ** 17 });
  const proxy = await faultyProxy((await serving(origin)).url, () => ({}));
  const peer = { ...(await serving(origin)), url: proxy.url };

  let [kills, ends] = [0, 0];
  /** One node is killed again and again until its copy is whole, then another begins. */
  const killAndKill = async () => {
    let node = await testNode('n02');
    while (kills < KILLS) {
      const copying = await child(node.dataDir, artifact, [peer]);
      await Promise.race([sleep(Math.random() * SECONDS * 1000), copying.exit]);
      copying.kill();
      const [code] = await copying.exit;
      if (code === null) kills++;
      const claimed = await readArtifact(node.dataDir, DIR);
      if (claimed) {
        expect(claimed).toEqual(artifact);
        expect((await readFile(join(node.dataDir, DIR, 'prefix.bin'))).equals(big)).toBe(true);
        expect((await readFile(join(node.dataDir, DIR, 'prefix.idx'))).equals(small)).toBe(true);
        ends++;
        node = await testNode('n02');
      } else {
        expect(code).not.toBe(0);
        const names = await readdir(join(node.dataDir, DIR)).catch(() => []);
        expect(names).not.toContain(MANIFEST);
      }
    }
    await pullArtifact(node, { artifact, from: [peer] });
    expect((await readFile(join(node.dataDir, DIR, 'prefix.bin'))).equals(big)).toBe(true);
    expect(partialOf(node.dataDir, artifact.digest)).toBeUndefined();
    ends++;
  };
  await Promise.all(Array.from({ length: AT_ONCE }, killAndKill));

  const asked = proxy.seen.filter(({ path }) => path.includes('/blocks/')).length;
  const blocks = Math.ceil(big.length / 2 ** 17) + Math.ceil(small.length / 2 ** 17);
  // Fetched twice were at most the blocks that were on their way at a kill.
  expect(asked).toBeLessThanOrEqual(blocks * ends + kills * 4);
}, 600_000);
