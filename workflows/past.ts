/**
 * What a run of months still knows of its past: sums, so that its state does not grow with its failures, and the ledger
 * says what it would say with every span and failure of it. Pure.
 */
import type { Cause } from './failure-cause.js';
import { costOf, hasGained, isTraining, partsOf, sumUp, timeIn, type CauseCost, type LedgerRow } from './ledger.js';
import type { Dropped } from './recovery.js';
import type { RunState } from './status.js';

export interface Past {
  ledger: LedgerRow[];
  /** Milliseconds of the spans that are summed up, and of those trained in iterations that count. */
  time: { all: number; train: number };
  causes: CauseCost[];
  /** Failures that are not even listed any more. */
  dropped: Dropped;
  /** Of those spans: the last generation that trained, and what came after it is owed to. */
  lastGained?: number;
  owedTo?: LedgerRow['cause'];
}

/** Spans and failures that stay spelled out at least, for the page, and of how many failures the words are kept. */
const SPANS = 200;
const FAILURES = 100;
const WORDS = 20;
/** Spans that are summed up at a time: each looks back at others. */
const AT_A_TIME = 500;
const DAY_MS = 86_400_000;

export const failureCount = ({ past, failures }: RunState): number => failures.length + (past?.dropped.failures ?? 0);

export function failuresByCause({ past, failures }: RunState): [cause: Cause, failures: number][] {
  const dropped = past?.dropped.causes ?? {};
  const causes = new Set([...(Object.keys(dropped) as Cause[]), ...failures.map(({ cause }) => cause)]);
  return [...causes].map((cause) => [
    cause,
    (dropped[cause] ?? 0) + failures.filter((failure) => failure.cause === cause).length,
  ]);
}

/** Sums up what is older than the newest spans and failures. Nothing that limits of a day count is dropped. */
export function foldPast(state: RunState, { spans = SPANS, failures = FAILURES } = {}): void {
  foldSpans(state, spans);
  foldFailures(state, failures);
}

function foldSpans(state: RunState, keep: number): void {
  const { phases } = state;
  // How much of what a generation trained was kept, the launch after it tells.
  const cut = Math.min(
    ...[AT_A_TIME, phases.length - keep],
    phases.findLastIndex(({ trained }) => trained),
  );
  if (cut <= 0) return;
  const past = (state.past ??= newPast());
  const begin = phases[cut]!.from;
  const parts = partsOf(state, begin, cut);
  past.ledger = sumUp(state, parts, past.ledger);
  past.time = {
    all: past.time.all + timeIn(parts),
    train: past.time.train + timeIn(parts.filter(isTraining)),
  };
  for (const failure of state.failures) {
    const next = phases.findIndex(({ trained, from }) => trained && from >= failure.at);
    if (failure.isSummed || next < 0 || next >= cut) continue;
    add(past.causes, costOf(failure, phases));
    failure.isSummed = true;
  }
  const folded = phases.splice(0, cut);
  const gained = folded.findLastIndex(hasGained);
  if (gained >= 0) {
    past.lastGained = folded[gained]!.trained!.generation;
    delete past.owedTo;
  }
  const owedTo = folded.slice(gained + 1).findLast((span) => span.owedTo !== undefined)?.owedTo;
  if (owedTo) past.owedTo = owedTo;
  if (state.held)
    state.held = state.held.slice(
      Math.max(
        0,
        state.held.findLastIndex(([at]) => at <= begin),
      ),
    );
}

function foldFailures(state: RunState, keep: number): void {
  const { failures, phases, past } = state;
  for (const failure of failures.slice(0, -WORDS)) failure.why = '';
  if (!past) return;
  const newest = failures.at(-1)?.at ?? 0;
  const old = failures.slice(0, -keep).findLastIndex(({ at }) => newest - at >= DAY_MS) + 1;
  // What comes before the next iteration is owed to the last failure before it.
  const owed = failures.findLastIndex(({ at }) => at <= (phases[0]?.from ?? 0));
  const count = failures.slice(0, Math.min(old, Math.max(0, owed))).filter(({ isSummed }) => isSummed).length;
  for (const { cause } of failures.splice(0, count)) {
    past.dropped.failures++;
    past.dropped.causes[cause] = (past.dropped.causes[cause] ?? 0) + 1;
  }
}

const newPast = (): Past => ({
  ledger: [],
  time: { all: 0, train: 0 },
  causes: [],
  dropped: { failures: 0, causes: {} },
});

function add(causes: CauseCost[], cost: CauseCost): void {
  const sum = causes.find(({ cause }) => cause === cost.cause);
  if (!sum) return void causes.push(cost);
  sum.failures += cost.failures;
  sum.lostIterations += cost.lostIterations;
  sum.repairs += cost.repairs;
  sum.repairSeconds += cost.repairSeconds;
}
