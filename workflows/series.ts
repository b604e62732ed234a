/** Whether a run may go on with what the series has, said before anything of it is touched. */
import { ApplicationFailure } from '@temporalio/workflow';
import { trainedWith, type NodeListing } from './checkpoints.js';
import type { Artifact } from './contract.js';
import { followOn, identityOf, type SeriesIdentity } from './series-identity.js';
import type { RunSpec } from './spec.js';

/**
 * What the series is trained with from here on, and what of that has changed. Throws where this run file cannot follow
 * on the newest checkpoint: `InvalidInput`, whose details say that it is the run file's fault.
 */
export function mayFollow(
  spec: RunSpec,
  listings: NodeListing[],
  newest: number | undefined,
  dataset?: Artifact,
): { identity: SeriesIdentity; notes: string[] } {
  const before = trainedWith(listings, newest);
  const now = { ...identityOf(spec), ...(dataset && { 'dataset content': dataset.digest.slice(0, 12) }) };
  const { identity, refusal, notes } = followOn(before?.identity, now, spec, newest !== undefined);
  const since = `iteration ${before?.iteration} of series ${spec.series}`;
  if (refusal !== undefined)
    throw ApplicationFailure.nonRetryable(
      `the run file does not fit what ${since} was trained with: ${refusal}. No checkpoint was changed`,
      'InvalidInput',
      { runFile: 'does not follow' },
    );
  return { identity, notes: notes.map((what) => `since ${since}: ${what}`) };
}
