/**
 * `npm run bench -- preprocess-merge [--shards 16] [--mb 64] [--json]`: CPU seconds of the merge of many shards
 * against `cat` of the same `.bin` files, and against `cat` with `sync` and `sha256sum`, alternating, the best of three each.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { mergePairs } from '../../../activities/preprocess/merge-pairs.js';
import { openPair } from '../../../activities/preprocess/pair-writer.js';
import { childSeconds } from './measure.js';

const { values } = parseArgs({
  options: {
    shards: { type: 'string', default: '16' },
    mb: { type: 'string', default: '64' },
    json: { type: 'boolean', default: false },
  },
});
const work = await mkdtemp(join(tmpdir(), 'preprocess-merge-'));
const prefixes = Array.from({ length: Number(values.shards) }, (_, index) => join(work, `shard-${index}`));
const document = 700;
for (const prefix of prefixes) {
  const writer = await openPair(prefix);
  const tokens = new Int32Array(randomBytes(4 * document * 256).buffer.slice(0, 4 * document * 256));
  const lengths = Array.from({ length: 256 }, () => document);
  for (let bytes = 0; bytes < Number(values.mb) * 1e6; bytes += tokens.byteLength) await writer.add(tokens, lengths);
  await writer.finish();
}

const merges: number[] = [];
const cats: number[] = [];
const likes: number[] = [];
for (let round = 0; round < 3; round++) {
  const before = process.cpuUsage();
  await mergePairs(prefixes, join(work, 'merged'));
  const { user, system } = process.cpuUsage(before);
  merges.push((user + system) / 1e6);
  cats.push(shellSeconds('cat "$@" > "$0"'));
  likes.push(shellSeconds('cat "$@" > "$0" && sync -d "$0" && sha256sum "$0"'));
}
execFileSync('cmp', [join(work, 'merged.bin'), join(work, 'cat')]);
await rm(work, { recursive: true });
const [merge, cat, like] = [merges, cats, likes].map((seconds) => Math.min(...seconds)) as [number, number, number];
const figures = {
  shards: prefixes.length,
  mergeCpuSeconds: merge,
  catCpuSeconds: cat,
  catSyncDigestCpuSeconds: like,
  ratio: merge / cat,
  ratioToCatSyncDigest: merge / like,
};
process.stdout.write(
  `${values.shards} shards of ${values.mb} MB: merge ${merge.toFixed(2)} CPU-s, cat ${cat.toFixed(2)} CPU-s, ${figures.ratio.toFixed(2)} times; cat, sync and sha256sum, which is what the merge does beside the index, ${like.toFixed(2)} CPU-s, ${figures.ratioToCatSyncDigest.toFixed(2)} times\n`,
);
if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`);

function shellSeconds(script: string): number {
  const args = ['-c', `{ ${script}; } >&2; times`, join(work, 'cat'), ...prefixes.map((prefix) => `${prefix}.bin`)];
  return childSeconds(spawnSync('bash', args, { encoding: 'utf8' }).stdout);
}
