/** What stands for the bytes of a dataset's pairs: not for how they were made, nor for what else lies beside them. */
import { readManifest, sha256, type Manifest } from '../artifact.js';

const PAIRED = /^prefix_(.+)_document\.bin$/;

/** By key, in 12 hexadecimal digits; nothing where there is no pair, as in what is no dataset. */
export function pairDigests({ files }: Manifest): { pairs?: Record<string, string> } {
  const digestOf = (path: string) => files.find((file) => file.path === path)?.sha256;
  const pairs = files.flatMap(({ path, sha256: bin }) => {
    const idx = digestOf(path.replace(/bin$/, 'idx'));
    const key = PAIRED.exec(path)?.[1];
    return key === undefined || idx === undefined ? [] : [[key, sha256(`${bin} ${idx}`).slice(0, 12)]];
  });
  return pairs.length > 0 ? { pairs: Object.fromEntries(pairs) as Record<string, string> } : {};
}

/** The same of a directory that was sealed just now. */
export async function pairsIn(dataDir: string, dir: string): Promise<{ pairs?: Record<string, string> }> {
  const sealed = await readManifest(dataDir, dir);
  return sealed ? pairDigests(sealed.manifest) : {};
}
