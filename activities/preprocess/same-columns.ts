/** JSON files of one data set whose fields differ: Hugging Face datasets takes the fields of the first for those of all. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { failure } from '../failures.js';
import { openBytes, plainName } from './open-bytes.js';
import { rangesOfSlice } from './rows.js';

/** What the real program looks at to learn the fields. */
const FIRST_PART = 10 * 2 ** 20;

/** Of files in order, what tells whether all have the fields of the first; parts of a data set can be added up. */
export interface Fields {
  first: { path: string; fields: string[] };
  /** Of each field that the first file does not have, or is not known to have, the first file that has it. */
  others: Record<string, string>;
}

/** The files of a data set as a whole; nothing where they are not all of lines of JSON. */
export async function sameColumns(paths: string[]): Promise<void> {
  if (paths.length > 1) refuseOther(await fieldsOfFiles(paths.map((path) => ({ path, name: path }))));
}

/** Of the files that begin in a slice: those of all slices are those of the data set. */
export async function fieldsOfSlice(
  root: string,
  files: string[],
  slice: { index: number; of: number },
): Promise<Fields | undefined> {
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(root, file))).size));
  const ranges = rangesOfSlice(sizes, slice);
  const here = files.filter((_, index) => ranges[index]!.from === 0 && ranges[index]!.to > 0);
  return fieldsOfFiles(here.map((name) => ({ path: join(root, name), name })));
}

async function fieldsOfFiles(files: { path: string; name: string }[]): Promise<Fields | undefined> {
  if (!files.every(({ path }) => plainName(path).endsWith('.jsonl'))) return undefined;
  let all: Fields | undefined;
  for (const { path, name } of files)
    all = joined([all, { first: { path: name, fields: [...(await fieldsOf(path))] }, others: {} }]);
  return all;
}

export function joined(parts: (Fields | undefined)[]): Fields | undefined {
  const [head, ...rest] = parts.filter((part) => part !== undefined);
  if (!head) return undefined;
  const others = new Map(Object.entries(head.others));
  const add = (field: string, path: string) => {
    if (!head.first.fields.includes(field) && !others.has(field)) others.set(field, path);
  };
  for (const { first, others } of rest) {
    for (const field of first.fields) add(field, first.path);
    for (const [field, path] of Object.entries(others)) add(field, path);
  }
  return { first: head.first, others: Object.fromEntries(others) };
}

/** @throws ApplicationFailure for the first field that the first file does not have */
export function refuseOther(all: Fields | undefined): void {
  const [other] = Object.entries(all?.others ?? {});
  if (!all || !other) return;
  const [field, path] = other;
  throw failure(
    'DataCorrupt',
    `${path}: there is a field ${field}, which ${all.first.path} does not have; MindSpeed-LLM reads files with the same fields only`,
    { nonRetryable: true },
  );
}

async function fieldsOf(path: string): Promise<Set<string>> {
  const fields = new Set<string>();
  const decoder = new TextDecoder();
  let seen = 0;
  let rest = '';
  for await (const portion of openBytes(path).portions) {
    const lines = (rest + decoder.decode(portion, { stream: true })).split('\n');
    rest = lines.pop()!;
    lines.forEach((line) => addFields(line, fields));
    seen += portion.length;
    if (seen >= FIRST_PART) return fields;
  }
  addFields(rest, fields);
  return fields;
}

/** What is no object is found, and named, when it is read. */
function addFields(line: string, fields: Set<string>): void {
  try {
    for (const field of Object.keys(JSON.parse(line) as object)) fields.add(field);
  } catch {
    return;
  }
}
