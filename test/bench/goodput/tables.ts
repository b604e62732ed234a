/** What `npm run bench -- goodput` prints. */
import { ASSUMPTIONS } from './assumptions.js';
import { PHASES } from './clock.js';
import { FAULT_KINDS, PROFILES } from './faults.js';
import { PUBLISHED } from './published.js';
import { mtbfOf, type Scenario } from './scenario.js';
import type { Mean, Sensitivity, tryIntervals } from './study.js';

const percent = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)} %`;
const short = (share: number): string => (share === 0 ? '-' : (100 * share).toFixed(2));
const row = (widths: number[], texts: string[]): string =>
  texts.map((text, index) => (index === 0 ? text.padEnd(widths[0]!) : text.padStart(widths[index] ?? 8))).join(' ');
const spoken = (seconds: number): string =>
  seconds < 5400 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;

export const preface = (): string =>
  [
    'A planning tool, not a claim: nobody trained anything here. Decisions (blame, decide, pool, quarantine, copies, complete',
    'checkpoints, patience with silence) are the pipeline’s own code; durations and faults are the assumptions below, and the',
    `faults are ${FAULT_KINDS.length} kinds in the proportions of Llama 3 405B. What is left out: slow nodes, faults that come together, storage`,
    'and network under load, planned stops, everything before the first launch.',
    '',
    'Share of wall time of the gang in %, by what it went to; "effective" is time in iterations that counted, over all.',
    ...Object.values(PROFILES).map(({ name, source }) => `  ${name}: ${source}`),
  ].join('\n');

const SIZE = [32, 8, 8, 9, ...PHASES.slice(1).map((phase) => Math.max(7, phase.length)), 9, 6];

export const sizesHead = (): string =>
  `\n${row(SIZE, ['devices, rate, spares, saves', 'fault in', 'faults', 'effective', ...PHASES.slice(1), 'ends', ''])}`;

export function sizeRow({ scenario, mean }: { scenario: Scenario; mean: Mean }): string {
  const { nodes, devices, profile, spares, interval } = scenario;
  const ends = Object.values(mean.ended).reduce((sum, count) => sum + count, 0);
  const what = `${nodes}x${devices} ${profile.name}, ${spares}, ${spoken(interval)}`;
  const shares = PHASES.slice(1).map((phase) => short(mean.shares[phase]));
  const effective = percent(mean.ratio);
  return row(SIZE, [what, spoken(mtbfOf(scenario)), mean.failures.toFixed(0), effective, ...shares, ends.toFixed(1)]);
}

export const published = (): string =>
  [
    '\n"ends": runs that the pipeline ended before their time, and a person started again.',
    '\nPublished, each counted in its own way and under its own conditions:',
    ...PUBLISHED.map(
      ({ who, figure, conditions, source }) => `  ${who.padEnd(26)} ${figure.padEnd(16)} ${conditions} (${source})`,
    ),
  ].join('\n');

const reasons = ({ ended }: Mean): string =>
  Object.entries(ended)
    .map(([why, count]) => `${count.toFixed(1)} ${why}`)
    .join('; ') || 'none';

export function limits({ scenario, mean }: { scenario: Scenario; mean: Mean }, small: Mean): string {
  const { nodes, devices, days, limits: own } = scenario;
  return [
    `\nLimits of recovery, ${nodes} x ${devices} devices over ${days} days; a run that ends is started again by a person, with a clean record:`,
    `  as they are (${own.maxFailures} in all, ${own.withoutProgress} in a row without a newer checkpoint, ${own.causes.hardware.aDay} of hardware a day): effective ${percent(mean.ratio)}, runs ended: ${reasons(mean)}`,
    `  as for a few devices (20, 3, 12): effective ${percent(small.ratio)}, runs ended: ${reasons(small)}`,
  ].join('\n');
}

const nameOf = ({ nodes, devices, profile, spares, replicas, days }: Scenario): string =>
  `${nodes} x ${devices} devices at the rate "${profile.name}", ${spares} spares, ${replicas} replicas, ${days} days`;

export function intervals(scenario: Scenario, { daly, young, tried, best }: ReturnType<typeof tryIntervals>): string {
  return [
    `\nSave interval, ${nameOf(scenario)}: Young ${spoken(young)}, Daly ${spoken(daly)} (what npm run plan advises for such a save and rate), simulated ${spoken(best.interval)}`,
    ...tried.map(({ interval, ratio, error, shares }) =>
      row(
        [12, 10, 10, 16, 16],
        [
          `  ${spoken(interval)}`,
          ...[percent(ratio, 2), `+- ${(100 * error).toFixed(2)}`, `lost ${short(shares['lost work'])}`],
          `saves ${short(shares.saves)}`,
        ],
      ),
    ),
  ].join('\n');
}

export const counts = (what: string, tried: { count: number; mean: Mean }[]): string =>
  [
    `\n${what}, the rest as above:`,
    ...tried.map(({ count, mean }) =>
      row(
        [6, 10, 10, 18, 16],
        [
          `  ${count}`,
          ...[percent(mean.ratio, 2), `+- ${(100 * mean.error).toFixed(2)}`, `waiting ${short(mean.shares.waiting)}`],
          `person ${short(mean.shares.person)}`,
          `  ends: ${reasons(mean)}`,
        ],
      ),
    ),
  ].join('\n');

export function sensitivity({ profile }: Scenario, base: Mean, moved: Sensitivity[]): string {
  const head = `\nWhat each assumption is worth: effective ${percent(base.ratio, 2)}; points more or less when it is halved, doubled (noise about ${(100 * base.error).toFixed(2)})`;
  const points = (ratio: number) => `${ratio >= base.ratio ? '+' : ''}${(100 * (ratio - base.ratio)).toFixed(2)}`;
  const lines = moved.map(({ name, value, halved, doubled }) => {
    const known = ASSUMPTIONS[name as keyof typeof ASSUMPTIONS] as
      (typeof ASSUMPTIONS)[keyof typeof ASSUMPTIONS] | undefined;
    const range = known && 'low' in known ? ` [${known.low} to ${known.high}]` : '';
    const about = known
      ? `${value} ${known.unit}${range}: ${known.source}`
      : `a day and device ${value.toExponential(1)}: ${profile.source}`;
    return `${row([12, 8, 8], [`  ${name}`, points(halved), points(doubled)])}   ${about}`;
  });
  return [head, ...lines].join('\n');
}
