/** JSON files of one data set whose fields differ: Hugging Face datasets takes the fields of the first for those of all. */
import { failure } from '../failures.js';
import { openBytes, plainName } from './open-bytes.js';

/** What the real program looks at to learn the fields. */
const FIRST_PART = 10 * 2 ** 20;

export async function sameColumns(paths: string[]): Promise<void> {
  if (paths.length < 2 || !paths.every((path) => plainName(path).endsWith('.jsonl'))) return;
  const known = await fieldsOf(paths[0]!);
  for (const path of paths.slice(1)) {
    const other = [...(await fieldsOf(path))].find((field) => !known.has(field));
    if (other !== undefined)
      throw failure(
        'DataCorrupt',
        `${path}: there is a field ${other}, which ${paths[0]} does not have; MindSpeed-LLM reads files with the same fields only`,
        { nonRetryable: true },
      );
  }
}

async function fieldsOf(path: string): Promise<Set<string>> {
  const fields = new Set<string>();
  let seen = 0;
  let rest = '';
  for await (const portion of openBytes(path).portions) {
    const lines = (rest + portion.toString('utf8')).split('\n');
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
