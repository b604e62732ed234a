/** Whether a run may go on with what the series has, said before anything of it is touched. */
import { ApplicationFailure } from '@temporalio/workflow';
import { backendOf } from './backends.js';
import { trainedWith, type NodeListing } from './checkpoints.js';
import type { PreparedData } from './prepare-data.js';
import { DATA, followOn, LISTING, type Following, type SeriesIdentity } from './series-identity.js';
import { NAME } from './spec-fields.js';
import type { RunSpec } from './spec.js';

/**
 * What the series is trained with from here on, and what of that has changed. Throws where this run file cannot follow
 * on the newest checkpoint: `InvalidInput`, whose details say that it is the run file's fault.
 */
export function mayFollow(
  spec: RunSpec,
  listings: NodeListing[],
  newest: number | undefined,
  data?: PreparedData,
): Omit<Following, 'refusal'> {
  const before = trainedWith(listings, newest);
  const now = { ...backendOf(spec).identity(spec), ...(data && noted(data)) };
  const { identity, refusal, instead, notes } = followOn(before?.identity, now, spec, newest !== undefined);
  const since = `iteration ${before?.iteration} of series ${spec.series}`;
  if (refusal !== undefined)
    throw ApplicationFailure.nonRetryable(
      `the run file does not fit what ${since} was trained with: ${refusal}. No checkpoint was changed`,
      'InvalidInput',
      { runFile: 'does not follow' },
    );
  if (instead && !NAME.test(instead.series))
    throw ApplicationFailure.nonRetryable(
      `series: expected a shorter name than ${spec.series}, since dataset.whenGrown makes ${instead.series} of it`,
      'InvalidInput',
    );
  return {
    identity,
    ...(instead && { instead: { ...instead, why: `since ${since}: ${instead.why}` } }),
    notes: notes.map((what) => `since ${since}: ${what}`),
  };
}

const noted = ({ pair, listing, dataset }: PreparedData): SeriesIdentity => ({
  ...(pair === undefined ? { 'dataset content': dataset.digest.slice(0, 12) } : { [DATA]: pair }),
  ...(listing !== undefined && { [LISTING]: listing }),
});

/** What the source listed when the newest checkpoint was trained; nothing where nobody noted it. */
export const listedThen = (listings: NodeListing[], newest: number | undefined): string | undefined => {
  const listing = trainedWith(listings, newest)?.identity[LISTING];
  return typeof listing === 'string' ? listing : undefined;
};
