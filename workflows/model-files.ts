/** Names of files of a model or a tokenizer: from the directory that its source names, as what reads them wants it. Pure. */
import type { SourceFile } from './contract.js';
import { globBase, isGlob } from './glob.js';

/** What comes after the bucket, or the repository and its revision. A path of a node is listed from its directory already. */
const INSIDE =
  /^(?:s3:\/\/[^/]+|(?:hf|modelscope):\/\/(?:(?:datasets|models)\/(?=[^/@]+\/[^/@]))?[^/@]+(?:\/[^/@]+)?(?:@[^/]+)?)\/(.+?)\/*$/;

/** Buckets and hubs list whole paths. */
export function namedFrom(source: string): (path: string) => string {
  const inside = INSIDE.exec(source)?.[1] ?? '';
  const above = isGlob(inside) ? globBase(inside) : inside;
  return (path) => {
    if (path === inside) return path.slice(path.lastIndexOf('/') + 1);
    return above !== '' && path.startsWith(`${above}/`) ? path.slice(above.length + 1) : path;
  };
}

/** The same file by the name that it gets here. */
export const renamed = (file: SourceFile, path: string): SourceFile =>
  path === file.path ? file : { ...file, path, at: file.path };
