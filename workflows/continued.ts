/**
 * A run's own history is kept short: it continues as new between generations, with all that it knows, so that a run of
 * months never comes near the server's limits of 51,200 events, 10,000 signals and 2,000 updates.
 */
import { allHandlersFinished, CancellationScope, workflowInfo } from '@temporalio/workflow';
import type { CrewKept } from './crew.js';
import type { Run } from './run-generation.js';
import type { RunState } from './status.js';
import type { Wishes } from './wishes.js';

/** One generation of six hours takes some 600 events more. */
const MANY_EVENTS = 1_000;

/** What a run that continues is told beside its run file: plain JSON. */
export type Kept = Pick<
  Run,
  'state' | 'wishes' | 'passed' | 'untried' | 'lostSpares' | 'data' | 'complete' | 'beganAt'
> & {
  empty: string[];
  crew: CrewKept;
};

/** What a run is told that goes on as another series: why, and what was asked of it and where its time went before. */
export interface Elsewhere {
  why: string;
  wishes: Wishes;
  record: Pick<RunState, 'requests' | 'phases' | 'held'>;
  crew: CrewKept;
}

/** Of a run that has given its nodes back: what these had of the old series says nothing of the new one. */
export const keepElsewhere = ({ state, wishes, crew }: Run, why: string): Elsewhere => {
  const { requests, phases, held } = state;
  const { fresh: _, ...kept } = crew.keep();
  return { why, wishes, record: { requests, phases, ...(held && { held }) }, crew: { ...kept, keepers: [] } };
};

/** Whether this is the time to continue as new. Between generations only: nothing else is under way then. */
export function isToContinue({ refilling }: Run): boolean {
  const { historyLength, continueAsNewSuggested } = workflowInfo();
  const isLong = historyLength > MANY_EVENTS || continueAsNewSuggested;
  // Whoever continues would not hear of a cancellation.
  const isFree = refilling === 0 && allHandlersFinished() && !CancellationScope.current().consideredCancelled;
  return isLong && isFree;
}

export const keep = ({
  state,
  wishes,
  passed,
  untried,
  lostSpares,
  data,
  complete,
  beganAt,
  empty,
  crew,
}: Run): Kept => ({
  ...{ state, wishes, passed, lostSpares, complete, empty: [...empty], crew: crew.keep() },
  ...(untried && { untried }),
  ...(data && { data }),
  ...(beganAt !== undefined && { beganAt }),
});
