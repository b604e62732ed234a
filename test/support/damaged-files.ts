/** Small data files of every format, of which each byte can be cut off or changed, and what must come of that. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ApplicationFailure } from '@temporalio/common';
import { batchesOf } from '../../activities/preprocess/read-rows.js';
import { isText, stringOf, WHOLE } from '../../activities/preprocess/rows.js';
import { createSieve } from '../../activities/preprocess/usable-rows.js';

const texts = ['plain', 'ünï 漢字 😀', 'with "quotes", commas\nand lines', 'x'.repeat(60), '<|endoftext|>', 'last'];
const lines = texts.map((text, n) => `${JSON.stringify({ n, text })}\n`);
const fixture = (name: string) => readFileSync(join(import.meta.dirname, '../fixtures/preprocess', name));
const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
const plain = texts.map((text) => text.replaceAll(/[\n",]/g, ' '));

export interface DataFile {
  name: string;
  bytes: Buffer;
  /** What a file that is cut off at a place is besides an error: nothing, the rows before it, or what is there of the last. */
  cut: 'error' | 'rows' | 'text';
  /** A byte that is not what it was leaves as many documents; of texts a line end may be gone, and what it parted is one. */
  keepsCount: boolean;
}

const ofRows = (name: string, text: string, cut: DataFile['cut'] = 'rows'): DataFile => ({
  ...{ name, bytes: Buffer.from(text), cut, keepsCount: false },
});
const binary = (name: string, bytes: Buffer, cut: DataFile['cut'] = 'error'): DataFile => ({
  ...{ name, bytes, cut, keepsCount: true },
});

export const dataFiles: DataFile[] = [
  ofRows('a.jsonl', lines.join('')),
  ofRows('a.json', JSON.stringify(texts.map((text) => ({ text }))), 'error'),
  ofRows(
    'pretty.json',
    `${JSON.stringify(
      texts.map((text) => ({ text })),
      undefined,
      1,
    )}\n`,
    'error',
  ),
  ofRows('lines.json', lines.join('')),
  ofRows('quoted.csv', `n,text\n${texts.map((text, n) => `${n},${quoted(text)}\n`).join('')}`, 'text'),
  ofRows('first.csv', `text,n\r\n${plain.map((text, n) => `${text},${n}\r\n`).join('')}`),
  ofRows('last.csv', `n,text\n${plain.map((text, n) => `${n},${text}\n`).join('')}`, 'text'),
  ofRows('a.txt', plain.join('\n'), 'text'),
  ...['plain', 'snappy', 'gzip', 'zstd', 'checksums'].map((name) =>
    binary(`${name}.parquet`, fixture(`parquet/${name}.parquet`)),
  ),
  ...['batches-file', 'batches-stream', 'batches-dictionary', 'batches-lz4'].map((name) =>
    binary(`${name}.arrow`, fixture(`arrow/${name}.arrow`)),
  ),
  binary('a.jsonl.gz', gzipSync(lines.join(''))),
  binary(
    'members.jsonl.gz',
    Buffer.concat([lines.slice(0, 3), lines.slice(3)].map((part) => gzipSync(part.join('')))),
    'rows',
  ),
  binary('a.txt.gz', gzipSync(plain.join('\n'))),
  binary('frames.jsonl.zst', fixture('zstd/frames.jsonl.zst'), 'rows'),
  // Without a checksum: of what it holds only the size is known.
  { ...binary('sized.txt.zst', fixture('zstd/sized.txt.zst')), keepsCount: false },
];

export type Outcome = { documents: string[] } | { refused: string };

/** Reads as a run does that is not told to read as MindSpeed-LLM, and leaves no bad row out. */
export async function documentsOf(path: string): Promise<Outcome> {
  const documents: string[] = [];
  const sieve = createSieve(['text'], { lists: false, unencodable: () => Promise.resolve(undefined) });
  const place = { file: path, path, rowsBefore: () => Promise.resolve(0) };
  const options = { path, columns: ['text'], range: WHOLE, compat: false };
  try {
    for await (const { rows } of batchesOf({ ...options, scratch: (name) => `${path}.${name}.tmp` }))
      for (const { values } of await sieve.usable(rows, place))
        documents.push(isText(values[0]) ? stringOf(values[0]) : 'a long text');
    return { documents };
  } catch (error) {
    const isRefused = error instanceof ApplicationFailure && ['DataCorrupt', 'InvalidInput'].includes(error.type ?? '');
    if (isRefused && error.message.includes(path)) return { refused: error.message };
    throw error;
  }
}

/** Bytes that may be missing where one is changed: a character, an end of a line, quotes. */
const SEPARATORS = 16;
/** Each with an end of its line. */
const bytesIn = (documents: string[]): number => documents.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0);

/** Holds what comes of such a file against what may come of it. */
export function createJudge({ name, bytes, cut, keepsCount }: DataFile, dir: string) {
  const path = join(dir, name);
  const read = (content: Buffer) => {
    writeFileSync(path, content);
    return documentsOf(path);
  };
  const known = read(bytes);
  const whole = async (): Promise<string[]> => {
    const outcome = await known;
    if ('refused' in outcome) throw new Error(`the file as it should be is refused: ${outcome.refused}`);
    return outcome.documents;
  };
  return {
    whole,
    /** @returns what is wrong, if anything is */
    async whenCut(at: number): Promise<string | undefined> {
      const documents = await whole();
      const outcome = await read(bytes.subarray(0, at));
      if ('refused' in outcome) return undefined;
      // A line end was cut off, or all there was, which is a file without rows.
      if (outcome.documents.join() === documents.join() || (at === 0 && !keepsCount)) return undefined;
      const rest = outcome.documents.filter((text, row) => text !== documents[row]);
      const last = outcome.documents.at(-1);
      // At its end a text may be as the file has it: without a quote that would be doubled.
      const isStart =
        rest.length === 1 && rest[0] === last && documents[outcome.documents.length - 1]!.startsWith(last!);
      if (cut !== 'error' && rest.length === 0) return undefined;
      if (cut === 'text' && isStart) return undefined;
      return `${name} cut off at ${at} of ${bytes.length} passes for ${outcome.documents.length} documents`;
    },
    async whenChanged(at: number, to: number): Promise<string | undefined> {
      const documents = await whole();
      const outcome = await read(Buffer.concat([bytes.subarray(0, at), Buffer.of(to), bytes.subarray(at + 1)]));
      if ('refused' in outcome || outcome.documents.length === documents.length) return undefined;
      // An end of a line may be gone, and no text.
      if (!keepsCount && bytesIn(outcome.documents) >= bytesIn(documents) - SEPARATORS) return undefined;
      return `${name} with ${to} at ${at} passes for ${outcome.documents.length} of ${documents.length} documents`;
    },
  };
}
