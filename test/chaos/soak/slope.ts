/** How fast a figure grows over time, and how sure that is. Pure. */

export interface Point {
  /** Points are compared with others of their group only: a process that was started again begins at another level. */
  group: string;
  hours: number;
  value: number;
}

/** What is added in an hour; `low` and `high` hold the true figure in 95 of 100 cases. */
export interface Slope {
  perHour: number;
  low: number;
  high: number;
  points: number;
}

/** Fewer than so many points beyond what the fit takes tell nothing. */
const LEAST_FREE = 8;
/** Quantile of the normal distribution for 95 of 100. */
const TWO_SIDED = 1.96;
/** Perfectly correlated residuals would make the interval infinite. */
const MOST_CORRELATED = 0.98;

/**
 * Least squares with one slope and a level for each group. Figures of a process hang together from one look to the
 * next, which makes fewer of them than there are: the interval is widened by their first autocorrelation.
 */
export function slopeOf(points: readonly Point[]): Slope | undefined {
  const byGroup = new Map<string, Point[]>();
  for (const point of points) {
    const group = byGroup.get(point.group);
    if (group) group.push(point);
    else byGroup.set(point.group, [point]);
  }
  const groups = [...byGroup.values()].filter(({ length }) => length > 1);
  const used = groups.flat();
  const free = used.length - groups.length - 1;
  if (free < LEAST_FREE) return undefined;
  const centred = groups.map((group) => {
    const [hours, value] = [mean(group.map((p) => p.hours)), mean(group.map((p) => p.value))];
    return group.map((p) => ({ x: p.hours - hours, y: p.value - value }));
  });
  const spread = sum(centred.flat().map(({ x }) => x * x));
  if (spread === 0) return undefined;
  const perHour = sum(centred.flat().map(({ x, y }) => x * y)) / spread;
  const residuals = centred.map((group) => group.map(({ x, y }) => y - perHour * x));
  const square = sum(residuals.flat().map((r) => r * r));
  const lagged = sum(residuals.flatMap((group) => group.slice(1).map((r, index) => r * group[index]!)));
  const correlated = square > 0 ? Math.min(MOST_CORRELATED, Math.max(0, lagged / square)) : 0;
  const error = Math.sqrt(((square / free / spread) * (1 + correlated)) / (1 - correlated));
  return { perHour, low: perHour - TWO_SIDED * error, high: perHour + TWO_SIDED * error, points: used.length };
}

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
const mean = (values: number[]): number => sum(values) / values.length;
