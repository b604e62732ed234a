/**
 * `npm run bench -- goodput`: how much of a long run's time would be training, by a simulation that calls the pipeline's own
 * decisions. A planning tool, not a claim: times and faults are assumptions, which it names, with what each is worth.
 *
 *     --nodes 128 --devices 8 --profile llama3|ant|sick     one scenario instead of the table of sizes
 *     --spares 4 --replicas 1 --interval 1800 --days 54     the interval in seconds of training; Daly's where absent
 *     --max-failures 20                                      of recovery; what suits the devices where absent
 *     --seeds 4                                              simulated runs a figure
 *     --save 60 --repair 24 …                                any assumption, by its name in the table
 *     --json                                                 the last line on stdout is one JSON object
 */
import { parseArgs } from 'node:util';
import { ASSUMPTIONS, defaults, type Assumptions } from './assumptions.js';
import type { Scenario } from './scenario.js';
import { asIfSmall, SIZES, scenarioOf, type Wanted } from './scenarios.js';
import { meanOf, sensitivities, tryIntervals, type Mean } from './study.js';
import * as table from './tables.js';

const assumed = Object.keys(ASSUMPTIONS) as (keyof Assumptions)[];
const { values } = parseArgs({
  options: {
    ...Object.fromEntries(assumed.map((name) => [name, { type: 'string' as const }])),
    nodes: { type: 'string' },
    devices: { type: 'string' },
    profile: { type: 'string' },
    spares: { type: 'string' },
    replicas: { type: 'string' },
    interval: { type: 'string' },
    days: { type: 'string' },
    'max-failures': { type: 'string' },
    seeds: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const options = values as Record<string, string | boolean | undefined>;

function number(name: string): number | undefined {
  const text = options[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!(value >= 0) || text === '') throw new Error(`--${name}: expected a number from 0, got ${String(text)}`);
  return value;
}

function assumptions(): Assumptions {
  const given = assumed.map((name) => [name, number(name) ?? ASSUMPTIONS[name].value] as const);
  return { ...defaults(), ...Object.fromEntries(given) };
}

const recovery = (): Wanted['recovery'] => {
  const maxFailures = number('max-failures');
  return maxFailures === undefined ? undefined : { maxFailures };
};

/** What was asked for, over this size. */
function wanted(size: Wanted): Wanted {
  const asked = {
    ...{ devices: number('devices'), spares: number('spares'), replicas: number('replicas') },
    ...{ interval: number('interval'), days: number('days') },
    ...{ recovery: recovery(), profile: options['profile'] },
  };
  const given = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined));
  return { ...size, ...given, assumptions: assumptions() };
}

const SEEDS = 4;
/** Many devices have many failures in one run already. */
const seedsFor = ({ nodes, devices }: Scenario): number => number('seeds') ?? (nodes * devices > 4000 ? 1 : SEEDS);
const say = (text: string): void => void process.stdout.write(`${text}\n`);

function goodput(): void {
  const began = process.cpuUsage();
  say(table.preface());
  const one = number('nodes');
  const sizes = (one === undefined ? SIZES : [{ nodes: one }]).map((size) => scenarioOf(wanted(size)));
  const rows: { scenario: Scenario; mean: Mean }[] = [];
  say(table.sizesHead());
  for (const scenario of sizes) {
    rows.push({ scenario, mean: meanOf(scenario, seedsFor(scenario)) });
    say(table.sizeRow(rows.at(-1)!));
  }
  say(table.published());
  const largest = rows.toSorted((a, b) => b.mean.failures - a.mean.failures)[0]!;
  const small = meanOf(asIfSmall(largest.scenario), seedsFor(largest.scenario));
  say(table.limits(largest, small));

  const base = scenarioOf(wanted(one === undefined ? { nodes: 128, profile: 'ant' } : { nodes: one }));
  const seeds = seedsFor(base);
  const saves = tryIntervals(base, seeds);
  say(table.intervals(base, saves));
  const spares = [0, 1, 2, 4, 8, 16]
    .filter((count) => count <= base.nodes)
    .map((count) => ({ count, mean: meanOf({ ...base, spares: count }, seeds) }));
  say(table.counts('spares', spares));
  const replicas = [0, 1, 2].map((count) => ({ count, mean: meanOf({ ...base, replicas: count }, seeds) }));
  say(table.counts('replicas', replicas));
  const moved = sensitivities(base, seeds);
  say(table.sensitivity(base, meanOf(base, seeds), moved));
  const cpu = process.cpuUsage(began);
  say(`${((cpu.user + cpu.system) / 1e6).toFixed(0)} s of CPU`);
  if (!values.json) return;
  const nameOf = ({ nodes, devices, profile }: Scenario) => ({ nodes, devices, profile: profile.name });
  say(
    JSON.stringify({
      sizes: rows.map(({ scenario, mean }) => ({ ...nameOf(scenario), ...mean })),
      ...{ asIfSmall: { ...nameOf(largest.scenario), ...small } },
      base: nameOf(base),
      interval: { young: saves.young, daly: saves.daly, simulated: saves.best.interval },
      ...{ spares, replicas, sensitivity: moved },
    }),
  );
}

try {
  goodput();
} catch (error) {
  process.stderr.write(`bench goodput: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
