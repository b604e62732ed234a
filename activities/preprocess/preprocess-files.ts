/** A whole data set on this machine: one process or several, each a slice of the files, and the same bytes always. */
import { readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { failure } from '../failures.js';
import { refuseWhole } from './refuse-whole.js';
import { sameColumns } from './same-columns.js';
import { sumCounts, type Counts } from './counts.js';
import { ensureTables, type Encoder } from './encode.js';
import { encodeJob, peakRss, type EncodeJob, type JobResult } from './encode-job.js';
import type { Progress } from './encode-rows.js';
import { addFigures } from './figures.js';
import type { InputFiles } from './input-files.js';
import { mergeAll } from './merge-pairs.js';
import { removePairs } from './pair-writer.js';
import { warningsOf } from './summary.js';

export interface FilesOptions extends Omit<EncodeJob, 'slice' | 'root' | 'files' | 'prefixes' | 'compat'> {
  input: InputFiles;
  /** Pairs are called this and the key. */
  prefix: string;
  processes: number;
  /** Subsets that the real program was to make; it cannot make more than there are rows. */
  subsets: number;
  /** Does a job in a process of its own. */
  elsewhere(job: EncodeJob, options: { onProgress(done: Progress): void; signal: AbortSignal }): Promise<JobResult>;
  load?(dir: string): Promise<Encoder>;
  onProgress?(done: Progress[]): void;
}

export const prefixOf = (prefix: string, key: string): string => `${prefix}_${key}_document`;

export async function preprocessFiles(options: FilesOptions): Promise<JobResult> {
  const { input, keys, prefix, processes, elsewhere, subsets, load, onProgress, ...how } = options;
  await forget(prefix, keys);
  await sameColumns(input.files.map((file) => join(input.root, file)));
  const check = (counts: Counts) => refuseAsMindSpeed(counts, subsets, input);
  const progress: Progress[] = [];
  const job = (index: number, of: number, to: string): EncodeJob => ({
    ...how,
    root: input.root,
    files: input.files,
    keys,
    slice: { index, of },
    prefixes: Object.fromEntries(keys.map((key) => [key, prefixOf(to, key)])),
    compat: true,
  });
  const report = (index: number) => (done: Progress) => {
    progress[index] = done;
    onProgress?.(progress.filter((part) => part !== undefined));
  };
  const here = load && { load };
  if (processes === 1) return encodeJob(job(0, 1, prefix), { onProgress: report(0), check, ...here });
  if (how.tablesIn !== undefined) await ensureTables(how.tokenizer, how.tablesIn);

  const parts = Array.from({ length: processes }, (_, index) => partName(prefix, index));
  try {
    // The last one here, which would else only wait.
    const results = await allOrNone(parts, (part, index, signal) => {
      const [work, options] = [job(index, processes, part), { onProgress: report(index), signal }];
      return index + 1 < processes ? elsewhere(work, options) : encodeJob(work, { ...options, ...here });
    });
    const counts = sumCounts(
      keys,
      results.map((result) => result.counts),
    );
    check(counts);
    const merged = await mergeAll(
      keys.map((key) => ({ prefixes: parts.map((part) => prefixOf(part, key)), to: prefixOf(prefix, key) })),
    );
    const pairs = Object.fromEntries(keys.map((key, index) => [key, merged[index]!]));
    const warnings = warningsOf(results);
    return {
      pairs,
      counts,
      figures: results.map(({ figures }) => figures).reduce(addFigures),
      warnings,
      peakRssBytes: Math.max(peakRss(), ...results.map((result) => result.peakRssBytes)),
    };
  } finally {
    await removeParts(prefix);
  }
}

/** The first failure ends the others, and is thrown when all of them have: what they write can be removed only then. */
async function allOrNone<T, R>(items: T[], work: (item: T, index: number, signal: AbortSignal) => Promise<R>) {
  const ending = new AbortController();
  let failed: { reason: unknown } | undefined;
  const done = await Promise.allSettled(
    items.map((item, index) =>
      work(item, index, ending.signal).catch((reason: unknown) => {
        failed ??= { reason };
        ending.abort();
        throw reason;
      }),
    ),
  );
  if (failed) throw failed.reason;
  return done.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
}

/** Where the real program ends with an exception that only the whole input shows. */
function refuseAsMindSpeed(counts: Counts, subsets: number, { root, files }: InputFiles): void {
  const what = files.length === 1 ? join(root, files[0]!) : root;
  refuseWhole(counts, { compat: true, skipBadRows: 0, what });
  if (subsets > counts.rows)
    throw failure('InvalidInput', `--n-subs ${subsets}: there are only ${counts.rows} rows in ${what}`, {
      nonRetryable: true,
    });
}

/** A pair of an earlier run must not be taken for the result of this one, if this one fails. */
async function forget(prefix: string, keys: string[]): Promise<void> {
  await removePairs(keys.map((key) => prefixOf(prefix, key)));
  await removeParts(prefix);
}

const partName = (prefix: string, index: number): string =>
  join(dirname(prefix), `.${basename(prefix)}.part-${String(index).padStart(5, '0')}`);

async function removeParts(prefix: string): Promise<void> {
  const start = `.${basename(prefix)}.part-`;
  for (const name of await readdir(dirname(prefix)))
    if (name.startsWith(start) || name.startsWith(`.${start}`)) await rm(join(dirname(prefix), name), { force: true });
}

export const inputBytes = async ({ root, files }: InputFiles): Promise<number> =>
  (await Promise.all(files.map((file) => stat(join(root, file))))).reduce((sum, { size }) => sum + size, 0);
