/** Whether a run may go on with what the series has, said before anything of it is touched. */
import { ApplicationFailure } from '@temporalio/workflow';
import { trainedWith, type NodeListing } from './checkpoints.js';
import type { Artifact } from './contract.js';
import { note, type Run } from './run-generation.js';
import { followOn, identityOf, type SeriesIdentity } from './series-identity.js';

/** What the series is trained with from here on. Throws where this run file cannot follow on the newest checkpoint. */
export function mayFollow(
  run: Run,
  listings: NodeListing[],
  newest: number | undefined,
  dataset?: Artifact,
): SeriesIdentity {
  const { spec, state } = run;
  const before = trainedWith(listings, newest);
  const now = { ...identityOf(spec), ...(dataset && { 'dataset content': dataset.digest.slice(0, 12) }) };
  const { identity, refusal, notes } = followOn(before?.identity, now, spec, newest !== undefined);
  const since = `iteration ${before?.iteration} of series ${spec.series}`;
  if (refusal !== undefined)
    throw ApplicationFailure.nonRetryable(
      `the run file does not fit what ${since} was trained with: ${refusal}. No checkpoint was changed`,
      'InvalidInput',
    );
  for (const text of notes.map((what) => `since ${since}: ${what}`))
    if (!state.events.some((event) => event.text === text)) note(run, text);
  return identity;
}
