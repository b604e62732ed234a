/** preprocess_data.py reads a folder in the file system's own order, which follows from the names. */
import { mkdtemp, opendir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const TRIES = 1000;

/** As many names as that, which a folder of `dir`'s file system lists in this order. */
export async function namesInOrder(dir: string, count: number, ending: string): Promise<string[]> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const names = Array.from({ length: count }, (_, index) => `${attempt}-${index}${ending}`);
    const scratch = await mkdtemp(join(dir, 'order-'));
    for (const name of names) await writeFile(join(scratch, name), '');
    const listed: string[] = [];
    for await (const { name } of await opendir(scratch)) listed.push(name);
    await rm(scratch, { recursive: true });
    if (listed.join() === names.join()) return names;
  }
  throw new Error(`${dir}: no ${count} names found that are listed in their order`);
}
