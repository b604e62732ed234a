/** Tables of the fast path that are whole, and wrong: as a defect of the encoder would make them. */
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Somewhere in the only tables of a folder, an id becomes the next one. */
export async function makeTablesWrong(dir: string, id: number): Promise<void> {
  const [name, ...others] = (await readdir(dir)).filter((entry) => entry.endsWith('.tables'));
  if (!name || others.length > 0) throw new Error(`expected the tables of one tokenizer in ${dir}`);
  const content = (await readFile(join(dir, name))).subarray(32);
  const wanted = Buffer.from(Uint32Array.of(id).buffer);
  const first = content.indexOf(wanted);
  if (first < 0) throw new Error(`${id} is nowhere in the tables`);
  for (let at = first; at >= 0; at = content.indexOf(wanted, at + 1))
    if (at % 4 === first % 4) content.writeUInt32LE(id + 1, at);
  await writeFile(join(dir, name), Buffer.concat([createHash('sha256').update(content).digest(), content]));
}
