/** What was fetched or made before is taken by its bytes: the dataset made of it bears a name that stands for the right ones. */
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import type { Artifact } from '../../workflows/contract.js';
import { readWhole } from '../artifact.js';
import { exclusive } from '../exclusive.js';
import { failure } from '../failures.js';
import { isSound, proveOrUnseal } from '../proof.js';
import { readSummary, type Summary } from './summary.js';

/** The shard in `dir` where it is of this very input and settings, and undamaged; a damaged one is unsealed. */
export async function madeBefore(
  dataDir: string,
  dir: string,
  made: string,
  signal: AbortSignal,
): Promise<{ artifact: Artifact; summary: Summary } | undefined> {
  const found = await readWhole(dataDir, dir);
  if (!found || !(await isSound(dataDir, found, { signal }))) return undefined;
  const summary = await readSummary(dataDir, dir);
  return summary?.made === made ? { artifact: found.artifact, summary } : undefined;
}

interface Input {
  node: string;
  dataDir: string;
  dir: string;
  signal: AbortSignal;
}

/**
 * A disk that loses bytes moves no time of a file, so that input which cannot be read is held against its manifest, and
 * unsealed if it is not what was fetched: then it is fetched again, and a fault of the source stays what it is.
 *
 * @throws DataCorrupt where the input was damaged here
 */
export async function reading<T>({ node, dataDir, dir, signal }: Input, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (signal.aborted || !(error instanceof ApplicationFailure)) throw error;
    const found = await readWhole(dataDir, dir);
    const isAsFetched =
      !found || (await exclusive(join(dataDir, dir), () => proveOrUnseal(dataDir, found, { signal })));
    if (isAsFetched) throw error;
    throw failure('DataCorrupt', `${node}: ${dir} was damaged on this disk after it was fetched: ${error.message}`, {
      nonRetryable: true,
      details: { node, dir },
      cause: error,
    });
  }
}
