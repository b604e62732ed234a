/**
 * `npm run fuzz`: hostile input at every door, more of it than `npm test` has time for.
 *
 *     --only name,…     some doors; --list names them
 *     --inputs 20000    for each, in parts, the doors in turn: a call that is broken off counts as far as it came
 *     --seed 7          to see again what was found; else another one each time
 *     --tally FILE      where the inputs of all calls are counted, by door
 *     --json            the last line on stdout is one JSON object
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../../workers/config.js';
import { program } from '../../workers/program.js';
import { count, totals } from './tally.js';
import { fuzz, type Outcome, type Target } from './target.js';
import { targets } from './targets/index.js';

/** Inputs of a part. */
const PART = 500;

function chosen(only: string | undefined): Target[] {
  if (only === undefined) return targets;
  return only.split(',').map((name) => {
    const found = targets.find((target) => target.name === name);
    if (!found) throw new Error(`--only: there is no door "${name}"; --list names them`);
    return found;
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      inputs: { type: 'string', default: '20000' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      tally: { type: 'string', default: join(root, '.cache/fuzz/tally.jsonl') },
      list: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  if (values.list) return console.log(targets.map(({ name }) => name).join('\n'));
  const [inputs, seed] = [values.inputs, values.seed].map(Number) as [number, number];
  if (!(Number.isSafeInteger(inputs) && inputs > 0))
    throw new Error(`--inputs: expected a count, got ${values.inputs}`);
  if (!Number.isSafeInteger(seed)) throw new Error(`--seed: expected a whole number, got ${values.seed}`);
  console.log(HEAD);
  const doors = chosen(values.only);
  const failures = new Map<string, string>();
  for (let done = 0; done < inputs; done += PART)
    for (const door of doors.filter(({ name }) => !failures.has(name))) {
      const partSeed = seed + done / PART;
      const outcome = await fuzz(door, Math.min(PART, inputs - done), partSeed).finally(() => door.close?.());
      await count(values.tally, { door: door.name, seed: partSeed, outcome });
      console.log(lineOf(door.name, partSeed, outcome));
      if (outcome.failure) failures.set(door.name, outcome.failure);
    }
  const counted = await totals(values.tally);
  console.log('\ninputs of all calls');
  for (const [door, { inputs }] of counted) console.log(`${door.padEnd(20)}${String(inputs).padStart(9)}`);
  const all = [...counted.values()].reduce((sum, { inputs }) => sum + inputs, 0);
  console.log(`${'together'.padEnd(20)}${String(all).padStart(9)}`);
  if (values.json)
    console.log(JSON.stringify({ seed, failures: Object.fromEntries(failures), totals: Object.fromEntries(counted) }));
  if (failures.size > 0) process.exitCode = 1;
}

const columns = (name: string, ...figures: string[]): string =>
  name.padEnd(20) + figures.map((figure) => figure.padStart(13)).join('');
const HEAD = `${columns('door', 'seed', 'inputs', 'ms an input', 'slowest ms', 'rss MB')}  verdict`;

function lineOf(name: string, seed: number, { inputs, seconds, slowestMs, rssMb, failure }: Outcome): string {
  const figures = [seed, inputs, ((seconds * 1000) / inputs).toFixed(2), slowestMs.toFixed(0), rssMb.toFixed(0)];
  return `${columns(name, ...figures.map(String))}  ${failure ?? 'held'}`;
}

program(main);
