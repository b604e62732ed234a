import { createReadStream } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { SourceFile } from '../workflows/contract.js';
import { hashFile, sizeOf } from './artifact.js';
import { commitFile } from './atomic.js';
import { fetchedPart } from './download.js';
import { failure } from './failures.js';
import { baseOf } from './list-source.js';
import { allowed, type Readable } from './source-roots.js';

/** A copy and not a link: whoever owns the original may change it. */
export async function copyLocal(
  node: Readable,
  path: string,
  { path: name, size, sha256 }: SourceFile,
  to: string,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<string> {
  const from = await allowed(node, join(await baseOf(node, path), name));
  await mkdir(dirname(to), { recursive: true });
  const aside = fetchedPart(node.name, to);
  const part = await open(aside, 'w');
  try {
    // One byte more than was listed tells as much as all that may have come since.
    for await (const chunk of createReadStream(from, { highWaterMark: 2 ** 20, signal, end: size })) {
      await part.writeFile(chunk as Buffer);
      onBytes((chunk as Buffer).length);
    }
  } finally {
    await part.close();
  }
  const digest = await hashFile(aside, { signal });
  if ((await sizeOf(aside)) !== size || (sha256 && digest !== sha256)) {
    await rm(aside);
    throw failure(
      'DataCorrupt',
      `${node.name}: ${from} is not the file that was listed. Start the run again, with the file left alone`,
      {
        nonRetryable: true,
      },
    );
  }
  await commitFile(aside, to);
  return digest;
}
