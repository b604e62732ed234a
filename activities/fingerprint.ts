/** Which programs a checkout holds: nodes must have the same, and an operator may approve them by this digest alone. */
import { createHash } from 'node:crypto';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { bytewise } from '../workflows/byte-order.js';

/** Not programs, though they may lie in a checkout: data, weights and what runs have left there. */
const NO_SOURCES = /^(\..*|node_modules|__pycache__|logs|dataset|ckpt|model_from_hf|model_weights|kernel_meta)$/;
const LARGEST_SOURCE = 2 ** 20;

/** SHA-256 over names and bytes of all Python sources, so that two checkouts that differ in a line differ here. */
export async function fingerprint(dir: string): Promise<string> {
  const hash = createHash('sha256');
  for (const file of (await sourcesIn(dir, '', new Set())).sort(bytewise))
    hash.update(`${file}\0`).update(await readFile(join(dir, file)));
  return hash.digest('hex');
}

/** Links are followed, since Megatron's folder may be linked into the checkout; but none in a circle. */
async function sourcesIn(root: string, below: string, seen: Set<string>): Promise<string[]> {
  const real = await realpath(join(root, below));
  if (seen.has(real)) return [];
  const found: string[] = [];
  for (const name of await readdir(real)) {
    const path = below === '' ? name : `${below}/${name}`;
    const about = NO_SOURCES.test(name) ? undefined : await stat(join(root, path)).catch(() => undefined);
    if (about?.isDirectory()) found.push(...(await sourcesIn(root, path, new Set([...seen, real]))));
    else if (about?.isFile() && /\.(py|json)$/.test(name) && about.size <= LARGEST_SOURCE) found.push(path);
  }
  return found;
}
