/**
 * By what a dataset is known to begin with another one: the same files in the same order, made the same way, and then
 * more. Its bytes then begin with the other one's. Pure.
 */
import { contentKey } from './content-key.js';
import type { SourceFile } from './contract.js';

export interface Lineages {
  like: string;
  /** The n-th is the name of a dataset of the first n + 1 files. */
  names: string[];
}

/**
 * `undefined` where a file's content is not pinned, so that nobody can say that it is the same as before.
 *
 * @param source within which alone an entity tag says something
 */
export function lineagesOf(made: unknown, source: string, files: SourceFile[]): Lineages | undefined {
  const pins = files.map(
    ({ sha256, blob, etag }) => sha256 ?? blob ?? (etag !== undefined ? [source, etag] : undefined),
  );
  if (pins.includes(undefined)) return undefined;
  const like = contentKey(made);
  let name = like;
  return { like, names: files.map(({ path, size }, index) => (name = contentKey([name, path, size, pins[index]]))) };
}
