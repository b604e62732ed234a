/**
 * `npm run bench -- preprocess-merge [--shards 16] [--mb 64] [--json]`: CPU seconds of the merge of many shards
 * against `cat` of the same `.bin` files, alternating, the best of three each.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { hashFile } from '../../../activities/artifact.js';
import { mergePairs } from '../../../activities/preprocess/merge-pairs.js';
import { openPair } from '../../../activities/preprocess/pair-writer.js';

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
for (let round = 0; round < 3; round++) {
  const before = process.cpuUsage();
  await mergePairs(prefixes, join(work, 'merged'));
  const { user, system } = process.cpuUsage(before);
  merges.push((user + system) / 1e6);
  const script = 'cat "$@" > "$0"; times';
  const args = ['-c', script, join(work, 'cat'), ...prefixes.map((prefix) => `${prefix}.bin`)];
  cats.push(secondsOf(spawnSync('bash', args, { encoding: 'utf8' }).stdout));
}
execFileSync('cmp', [join(work, 'merged.bin'), join(work, 'cat')]);
const hashing = process.cpuUsage();
await hashFile(join(work, 'merged.bin'));
const digest = process.cpuUsage(hashing).user / 1e6;
await rm(work, { recursive: true });
const [merge, cat] = [Math.min(...merges), Math.min(...cats)];
const figures = {
  shards: prefixes.length,
  mergeCpuSeconds: merge,
  catCpuSeconds: cat,
  digestCpuSeconds: digest,
  ratio: merge / cat,
  ratioWithoutDigest: (merge - digest) / cat,
};
process.stdout.write(
  `${values.shards} shards of ${values.mb} MB: merge ${merge.toFixed(2)} CPU-s, cat ${cat.toFixed(2)} CPU-s, ${figures.ratio.toFixed(2)} times; of it ${digest.toFixed(2)} for the SHA-256, which cat does not take: without, ${figures.ratioWithoutDigest.toFixed(2)} times\n`,
);
if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`);

/** `times` prints user and system time of the shell, then of its children. */
function secondsOf(printed: string): number {
  const numbers = [...printed.matchAll(/(\d+)m([\d.]+)s/g)].map(
    ([, minutes, seconds]) => Number(minutes) * 60 + Number(seconds),
  );
  return numbers[2]! + numbers[3]!;
}
