/**
 * `npm run bench -- preprocess [--mb 64] [--rounds 2] [--only datatrove,gigatoken] [--json]`: ours against what people use
 * instead, on the same corpus, in turns in the same call, from parquet to `.bin/.idx`. All outputs must be the same bytes.
 *
 * CPU seconds are of all processes. What a program costs on one document is its start-up; what is left of the whole, by
 * the bytes, is marginal, and ratios are of that. The first runs of ours, which also compute tables and check ids, are told
 * apart: with one round only, the check is in the figures.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { root } from '../../../workers/config.js';
import { QWEN3 } from '../../support/encoder/tokenizers.js';
import { corpusParts, mixed, writeParquet } from './corpus.js';
import { measure, type Measured } from './measure.js';
import { peers, prepareEnvironment } from './peers.js';

const { values } = parseArgs({
  options: {
    mb: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '2' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const say = (line: string) => void process.stderr.write(`bench: ${line}\n`);
const names = values.only?.split(',') ?? peers.map(({ name }) => name);
const unknown = names.filter((name) => !peers.some((peer) => peer.name === name));
if (unknown.length)
  throw new Error(`--only ${unknown.join(',')}: expected of ${peers.map(({ name }) => name).join(', ')}`);

const wanted = peers.filter(({ name }) => names.includes(name));
const { python, sitePackages, missing } = await prepareEnvironment(wanted, say);
for (const [name, problem] of missing) say(`${name} is not compared: it cannot be installed (${problem})`);
const work = await mkdtemp(join(tmpdir(), 'bench-preprocess-'));

const corpus = mixed(await corpusParts(sitePackages), Number(values.mb) * 1e6);
const inputs = { start: join(work, 'start.parquet'), whole: join(work, 'whole.parquet') };
writeParquet(inputs.start, corpus.documents.slice(0, 1));
writeParquet(inputs.whole, corpus.documents);
const megabytes = corpus.bytes / 1e6;
const mix = Object.entries(corpus.mix).map(([name, bytes]) => `${name} ${((100 * bytes) / corpus.bytes).toFixed(0)} %`);
say(`${corpus.documents.length} documents, ${megabytes.toFixed(1)} MB: ${mix.join(', ')}`);

interface Program {
  name: string;
  command(input: string, out: string): string[];
}

const ours = (name: string, ...more: string[]): Program => ({
  name,
  command: (input, out) => [
    ...[process.execPath, join(root, 'dist/workers/preprocess.js'), '--input', input, '--append-eod'],
    ...['--tokenizer-name-or-path', QWEN3, '--output-prefix', `${out}/out`, ...more],
  ],
});
const OURS = 'ours';
const OURS_2 = 'ours, 2 processes';
const programs: Program[] = [
  ours(OURS),
  ours(OURS_2, '--workers', '2'),
  ...wanted
    .filter(({ name }) => !missing.has(name))
    .map(({ name, script }) => ({
      name,
      command: (input: string, out: string) => [python, join(import.meta.dirname, script), input, QWEN3, out],
    })),
];
// A cache of tables of its own, and no hub; what OpenBLAS is told on this machine is nobody's default.
const { OPENBLAS_CORETYPE: _, OPENBLAS_L2_SIZE: __, ...inherited } = process.env;
const env = { ...inherited, XDG_CACHE_HOME: join(work, 'cache'), HF_HUB_OFFLINE: '1', PYTHONWARNINGS: 'ignore' };

async function once({ command }: Program, input: string): Promise<Measured & { digest: string }> {
  const out = join(work, 'out');
  await rm(out, { recursive: true, force: true });
  await mkdir(out);
  const measured = await measure(command(input, out), env);
  return { ...measured, digest: await digestOf(out) };
}

async function digestOf(out: string): Promise<string> {
  const hash = createHash('sha256');
  for (const ending of ['bin', 'idx']) {
    const path = [`${out}/out.${ending}`, `${out}/out_text_document.${ending}`];
    const file = createReadStream(path[0]!).on('error', () => undefined);
    await pipeline(file, hash, { end: false }).catch(() => pipeline(createReadStream(path[1]!), hash, { end: false }));
  }
  return hash.digest('hex');
}

const first = await once(programs[0]!, inputs.start);
const runs = new Map<string, { start: Measured[]; whole: Measured[] }>(
  programs.map(({ name }) => [name, { start: [], whole: [] }]),
);
const digests = new Map<string, Set<string>>();
for (let round = 0; round < Number(values.rounds); round++)
  for (const program of programs)
    for (const size of ['start', 'whole'] as const) {
      const { digest, ...measured } = await once(program, inputs[size]);
      say(`${program.name}, ${size}: ${measured.cpuSeconds.toFixed(2)} CPU-s, ${measured.wallSeconds.toFixed(2)} s`);
      runs.get(program.name)![size].push(measured);
      digests.set(size, (digests.get(size) ?? new Set()).add(digest));
    }
await rm(work, { recursive: true });

const least = (all: Measured[], what: keyof Measured) => Math.min(...all.map((one) => one[what]));
const most = (all: Measured[], what: keyof Measured) => Math.max(...all.map((one) => one[what]));
const figures = Object.fromEntries(
  [...runs].map(([name, { start, whole }]) => {
    const cpuSeconds = least(whole, 'cpuSeconds');
    const startUp = least(start, 'cpuSeconds');
    return [
      name,
      {
        cpuSeconds,
        startUpCpuSeconds: startUp,
        startUpSeconds: least(start, 'wallSeconds'),
        wallSeconds: least(whole, 'wallSeconds'),
        marginalMbPerCpuSecond: megabytes / (cpuSeconds - startUp),
        peakMib: most(whole, 'peakBytes') / 2 ** 20,
      },
    ];
  }),
);
const our = figures[OURS]!;
const ratios = Object.fromEntries(
  Object.entries(figures)
    .filter(([name]) => name !== OURS && name !== OURS_2)
    .map(([name, { marginalMbPerCpuSecond }]) => [name, our.marginalMbPerCpuSecond / marginalMbPerCpuSecond]),
);
const isSame = [...digests.values()].every(({ size }) => size === 1);
const summary = {
  ...{ megabytes, documents: corpus.documents.length, mix: corpus.mix, sameBytes: isSame, programs: figures, ratios },
  missing: Object.fromEntries(missing),
  firstStart: { seconds: first.wallSeconds, cpuSeconds: first.cpuSeconds },
  // Its ids were not known to be right yet.
  firstWhole: runs.get(OURS)!.whole[0]!,
  twoProcessesByWall: our.wallSeconds / figures[OURS_2]!.wallSeconds,
};
console.table(
  Object.fromEntries(
    Object.entries(figures).map(([name, all]) => [
      name,
      Object.fromEntries([
        ...Object.entries(all).map(([what, value]) => [what, Number(value.toFixed(2))]),
        ['times as slow', ratios[name] === undefined ? '' : Number(ratios[name].toFixed(2))],
      ]),
    ]),
  ),
);
process.stdout.write(
  `All outputs are ${isSame ? '' : 'NOT '}the same bytes. Two processes are ${summary.twoProcessesByWall.toFixed(2)} times as fast as one by wall. The very first start took ${first.wallSeconds.toFixed(2)} s.\n`,
);
if (values.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
process.exitCode = isSame ? 0 : 1;
