/** Where a run's time went: every node-second has a phase and a cause. Pure, from the run's own state. */
import type { Cause } from './failure-cause.js';
import type { RunState } from './status.js';

export interface LedgerRow {
  phase: string;
  /** Of the failure that it comes after, up to the next generation; `work` where nothing had failed. */
  cause: Cause | 'work';
  nodeSeconds: number;
}

export interface CauseSum {
  cause: Cause;
  failures: number;
  /** Iterations that were trained and had to be trained again. */
  lostIterations: number;
  /** Mean seconds from the decision to the next launch; absent where none followed. */
  toNextLaunch?: number;
}

/** @param now where the last span is still open */
export function ledgerOf({ phases, failures, nodes, spares }: RunState, now: number): LedgerRow[] {
  const held = nodes.length + spares.length;
  const sums = new Map<string, LedgerRow>();
  for (const { name, from, to = now } of phases) {
    const trains = name.startsWith('generation ');
    const before = trains ? undefined : failures.filter(({ at }) => at <= from).at(-1);
    const phase = trains ? 'train' : name;
    const cause = before?.cause ?? 'work';
    const row = sums.get(`${phase} ${cause}`) ?? { phase, cause, nodeSeconds: 0 };
    row.nodeSeconds += (held * (to - from)) / 1000;
    sums.set(`${phase} ${cause}`, row);
  }
  return [...sums.values()];
}

export function causesOf({ phases, failures }: RunState): CauseSum[] {
  return [...new Set(failures.map(({ cause }) => cause))].map((cause) => {
    const own = failures.filter((failure) => failure.cause === cause);
    const repairs = own.flatMap(({ at }) => {
      const next = phases.find(({ name, from }) => name.startsWith('generation ') && from >= at);
      return next ? [(next.from - at) / 1000] : [];
    });
    return {
      ...{ cause, failures: own.length },
      lostIterations: own.reduce((sum, { iteration, endedAt }) => sum + Math.max(0, iteration - endedAt), 0),
      ...(repairs.length > 0 && { toNextLaunch: repairs.reduce((sum, value) => sum + value, 0) / repairs.length }),
    };
  });
}
