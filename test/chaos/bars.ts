/**
 * How soon a fault is to be decided upon, and training to go on after that. Pure: evidence in, figures with their bars
 * out. A decision is the run's own: the generation has ended, or its preparation has, and what to do next is known.
 */
import { milliseconds } from '../../workflows/duration.js';
import { GROUP_TIMEOUT_SECONDS } from './cases.js';
import type { FaultName } from './faults.js';
import type { GenerationHistory } from './histories.js';
import type { Evidence } from './invariants.js';
import type { Strike } from './play.js';

export const RANK_DECIDED_WITHIN = 3;
export const HOST_DECIDED_WITHIN = Math.max(20, GROUP_TIMEOUT_SECONDS + 5);
/** From the decision, above what the trainer itself takes to start. */
export const RESUMED_WITHIN = 20;

/** All in seconds. */
export interface Figure {
  took: number;
  /** Absent where nothing is asked of it. */
  atMost?: number;
}

export interface Pace {
  /** From the fault to the decision: of several faults the one that came worst off by its bar. */
  decided?: Figure;
  /** From the last decision to the first iteration after it. */
  resumed?: Figure;
  /** From the launch of the generation that was struck to its first iteration. */
  startUp?: number;
}

const LOSES_HOST: ReadonlySet<string> = new Set<FaultName>(['killHost', 'unplug']);
const KILLS_RANK: ReadonlySet<string> = new Set<FaultName>(['killRank']);

export function paceOf(evidence: Evidence): Pace {
  const { generations, trained, played, preparationsFailed } = evidence;
  const failed = generations.filter(({ outcome }) => outcome === 'failed');
  const decisions = [...failed.flatMap(({ closedAt }) => closedAt ?? []), ...preparationsFailed].sort((a, b) => a - b);
  const answered = played.strikes.flatMap((strike) => {
    const at = decisions.find((decision) => decision >= strike.at);
    return at === undefined ? [] : [{ strike, at }];
  });
  const struck = failed.find(({ closedAt }) => closedAt !== undefined && closedAt >= (answered[0]?.at ?? Infinity));
  const last = answered.at(-1)?.at;
  if (struck === undefined || last === undefined) return {};
  const decided = answered.map(({ strike, at }): Figure => {
    const atMost = decidedWithin(strike, struck, played.strikes);
    return { took: (at - strike.at) / 1000, ...(atMost !== undefined && { atMost }) };
  });
  const worst = decided.sort((a, b) => share(b) - share(a))[0]!;
  const began = trained.find(({ run, token }) => run === struck.run && token === struck.input.token)?.at;
  const startUp = began === undefined ? undefined : (began - struck.startedAt) / 1000;
  const next = trained.find(({ token, at }) => token > struck.input.token && at >= last)?.at;
  return {
    decided: worst,
    ...(startUp !== undefined && { startUp }),
    ...(next !== undefined && {
      resumed: { took: (next - last) / 1000, ...(startUp !== undefined && { atMost: startUp + RESUMED_WITHIN }) },
    }),
  };
}

const share = ({ took, atMost }: Figure): number => (atMost === undefined ? 0 : took / atMost);

function decidedWithin(strike: Strike, { input, closedAt }: GenerationHistory, all: Strike[]): number | undefined {
  if (KILLS_RANK.has(strike.fault)) return RANK_DECIDED_WITHIN;
  if (!LOSES_HOST.has(strike.fault)) return undefined;
  const lost = all.filter(({ fault, at }) => LOSES_HOST.has(fault) && at <= closedAt!).map(({ node }) => node);
  if (!input.nodes.every(({ name }) => lost.includes(name))) return HOST_DECIDED_WITHIN;
  // No member is left to say that its ranks have ended: no gang may follow before the lease is over everywhere.
  const { lease, stopGrace } = input.timing;
  return HOST_DECIDED_WITHIN + (milliseconds(lease) + milliseconds(stopGrace)) / 1000;
}

/**
 * What missed its bar, in words; only of core cases, whose figures the bars were set for.
 * @param slack so many times as long as the bars say is allowed, on a machine that does other work
 */
export function missedBars({ case: { core } }: Evidence, { decided, resumed }: Pace, slack = 1): string[] {
  const missed = (what: string, { took, atMost = Infinity }: Figure = { took: 0 }): string[] =>
    took > slack * atMost ? [`${what} took ${took.toFixed(1)} s, and may take ${(slack * atMost).toFixed(1)} s`] : [];
  return core
    ? [...missed('the decision after the fault', decided), ...missed('the next iteration after it', resumed)]
    : [];
}
