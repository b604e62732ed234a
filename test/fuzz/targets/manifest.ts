import { parseManifest } from '../../../activities/artifact.js';
import { mutated } from '../mutate.js';
import type { Target } from '../target.js';

const digest = 'a'.repeat(64);
const good = [
  { files: [{ path: 'prefix.bin', size: 10, sha256: digest }] },
  { files: [{ path: 'a/b.pt', size: 9, sha256: digest, blocks: [digest, digest, digest] }], block: 4, token: 7 },
  { files: [], identity: { 'parallel.pp': 2, 'model.init': 'random', x: null } },
].map((manifest) => Buffer.from(JSON.stringify(manifest)));

/** A manifest of a peer: none, or one whose files all lie below its directory. */
export const manifest: Target<Buffer> = {
  name: 'manifest',
  inputs: mutated(good),
  check(bytes) {
    const parsed = parseManifest(bytes);
    for (const { path, size } of parsed?.files ?? [])
      if (path.startsWith('/') || path.split('/').includes('..') || !(size >= 0)) throw new Error(`${path} ${size}`);
  },
};
