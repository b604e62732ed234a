/** What a soak's figures come to: what grew for certain, what was too short to tell, what did not hold. Pure. */
import { slopeOf, type Slope } from './slope.js';
import type { Figure, Sample } from './watch.js';

export interface Execution {
  workflowId: string;
  events: number;
  /** Bytes of the largest payload, and in which kind of event it is. */
  payload: number;
  payloadIn: string;
}

export interface Growth {
  host: string;
  figure: Figure;
  slope: Slope | undefined;
  verdict: 'flat' | 'unsure' | 'grows' | 'not judged';
  /** The newest. */
  last: number;
}

/** What may be added in an hour. */
export type Tolerances = Partial<Record<Figure, number>>;

/** Of which a month is made without a restart: 20 MB an hour would be 14 GB. Logs are kept, and so only shown. */
export const TOLERANCES: Tolerances = { rssMb: 20, descriptors: 10, dataMb: 20 };

/**
 * A process that has just begun fills its heap and caches, at more than 100 MB an hour in the first minutes; so do
 * disks, with what was fetched.
 */
const WARM_HOURS = 1 / 6;

/** Server's own bars, with which it warns: a history, and one payload. */
const MOST_EVENTS = 10_240;
const MOST_PAYLOAD = 256 * 1024;

const FIGURES: Figure[] = ['rssMb', 'descriptors', 'dataMb', 'logsMb'];

export function growths(samples: readonly Sample[], tolerances: Tolerances, notJudged: string[] = []): Growth[] {
  const hosts = [...new Set(samples.map(({ host }) => host))];
  return hosts.flatMap((host) => FIGURES.flatMap((figure) => growth(samples, host, figure, tolerances, notJudged)));
}

function growth(
  samples: readonly Sample[],
  host: string,
  figure: Figure,
  tolerances: Tolerances,
  notJudged: string[],
): Growth[] {
  const own = samples.flatMap(({ host: of, hours, pid = 0, figures }) => {
    const value = figures[figure];
    return of === host && value !== undefined ? [{ group: String(pid), hours, value }] : [];
  });
  if (own.length === 0) return [];
  const began = new Map<string, number>();
  for (const { group, hours } of own) began.set(group, Math.min(hours, began.get(group) ?? Infinity));
  const slope = slopeOf(own.filter(({ group, hours }) => hours - began.get(group)! >= WARM_HOURS));
  const tolerance = notJudged.includes(`${host} ${figure}`) ? undefined : tolerances[figure];
  return [{ host, figure, slope, verdict: verdictOn(slope, tolerance), last: own.at(-1)!.value }];
}

/** Grows is what grows for certain: a short soak accuses nobody. */
function verdictOn(slope: Slope | undefined, tolerance: number | undefined): Growth['verdict'] {
  if (tolerance === undefined) return 'not judged';
  if (!slope) return 'unsure';
  if (slope.low > tolerance) return 'grows';
  return slope.high <= tolerance ? 'flat' : 'unsure';
}

export function problemsOf(found: Growth[], executions: Execution[], broken: string[]): string[] {
  const grown = found
    .filter(({ verdict }) => verdict === 'grows')
    .map(
      ({ host, figure, slope }) =>
        `${figure} of ${host} grows by ${slope!.perHour.toFixed(1)} an hour (${slope!.low.toFixed(1)} to ${slope!.high.toFixed(1)})`,
    );
  const long = executions
    .filter(({ events }) => events > MOST_EVENTS)
    .map(({ workflowId, events }) => `${workflowId} has ${events} events in one execution`);
  const large = executions
    .filter(({ payload }) => payload > MOST_PAYLOAD)
    .map(({ workflowId, payload, payloadIn }) => `${workflowId} has a payload of ${payload} bytes (${payloadIn})`);
  return [...grown, ...long, ...large, ...broken];
}
