/**
 * `npm run chaos`: the fault matrix. Each case hurts a run on simulated hosts and checks what must hold whatever happens.
 *
 *     --core | --only name,… | --random 50 --seed 7    which cases; all without. --list names them
 *     --soak 30m --seed 7                              one series, run after run, with faults at random for so long
 *     --json                                           the last line on stdout is one JSON object
 *     --results DIR                                    where rows and the evidence of failed cases are kept
 *     --keep                                           evidence of every case
 *     --slack 3                                        bars so many times as wide: the machine does other work as well
 *     --anew                                           forgets the rows of a matrix that was broken off; else it goes on
 */
import { readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { root } from '../../workers/config.js';
import { program } from '../../workers/program.js';
import { DURATION, milliseconds } from '../../workflows/duration.js';
import { cases, type Case } from './cases.js';
import { openHardware } from './cluster.js';
import { playMatrix, print } from './matrix.js';
import { onHosts } from './on-hosts.js';
import { randomCases } from './random.js';
import { openResults } from './results.js';
import { figuresOf } from './soak/page.js';
import { soak } from './soak/soak.js';

const SHORTEST_SOAK_SECONDS = 120;

const readOptions = () =>
  parseArgs({
    options: {
      only: { type: 'string' },
      core: { type: 'boolean', default: false },
      random: { type: 'string' },
      soak: { type: 'string' },
      seed: { type: 'string', default: '1' },
      list: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      anew: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      slack: { type: 'string', default: '1' },
      results: { type: 'string', default: join(root, '.cache/chaos') },
    },
  }).values;

/** Read before anything is done with them. */
let options: ReturnType<typeof readOptions>;

function chosen(): Case[] {
  if (options.random !== undefined) return randomCases(whole('random'), whole('seed'));
  if (options.only === undefined) return options.core ? cases.filter(({ core }) => core) : cases;
  return options.only.split(',').map((name) => {
    const found = cases.find((case_) => case_.name === name);
    if (!found) throw new Error(`--only: there is no case "${name}"; --list names them`);
    return found;
  });
}

function whole(name: 'random' | 'seed' | 'slack'): number {
  const value = Number(options[name]);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new Error(`--${name}: expected a whole number from 1, got ${options[name]}`);
}

function soakSeconds(): number | undefined {
  const { soak: time } = options;
  if (time === undefined) return undefined;
  const seconds = DURATION.test(time) ? milliseconds(time) / 1000 : 0;
  if (seconds >= SHORTEST_SOAK_SECONDS) return seconds;
  throw new Error(`--soak: expected a time from ${SHORTEST_SOAK_SECONDS / 60}m, such as 30m or 2h, got ${time}`);
}

async function inside(prefix: string, dir: string): Promise<number> {
  const seconds = soakSeconds();
  return seconds === undefined ? matrix(prefix, dir) : longRun(seconds, prefix, dir);
}

async function longRun(seconds: number, prefix: string, dir: string): Promise<number> {
  const results = join(resolve(options.results), `soak-${new Date().toISOString().replace(/[:.]/g, '-')}`);
  const hardware = await openHardware(prefix, dir);
  print(`seed ${whole('seed')}; pages and looks: ${results}`);
  const { judged, missed } = await soak(hardware, { seconds, seed: whole('seed'), results, say: print });
  for (const what of missed) print(`not struck: ${what}`);
  const { problems } = judged.page;
  print(problems.length ? `FAILED; what is needed to see why is in ${join(results, 'evidence')}` : 'held');
  if (options.json) print(JSON.stringify({ seed: whole('seed'), ...figuresOf(judged.page), missed: missed.length }));
  return problems.length > 0 ? 1 : 0;
}

async function matrix(prefix: string, dir: string): Promise<number> {
  const began = Date.now();
  const kept = resolve(options.results);
  const selection = chosen();
  if (options.anew) await rm(join(kept, 'unfinished.jsonl'), { force: true });
  const compiled = await readFile(join(root, 'dist/.compiled.json'), 'utf8');
  const results = await openResults(kept, {
    build: (JSON.parse(compiled) as { inputs: string }).inputs,
    cases: selection.map(({ name }) => name),
  });
  const hardware = await openHardware(prefix, dir);
  await playMatrix(hardware, selection, results, {
    dir: join(kept, 'evidence'),
    ofAll: options.keep,
    slack: whole('slack'),
  });
  const failed = results.rows.filter(({ problems }) => problems.length > 0).map(({ name }) => name);
  const path = await results.close();
  const seconds = (Date.now() - began) / 1000;
  print(`\n${results.rows.length} cases, ${failed.length} failed; ${seconds.toFixed(0)} s; rows: ${path}`);
  if (failed.length) print(`what is needed to see why is in ${join(kept, 'evidence')}`);
  if (options.json)
    print(JSON.stringify({ cases: results.rows.length, failed: failed.length, names: failed, seconds }));
  return failed.length > 0 ? 1 : 0;
}

async function main(): Promise<number> {
  options = readOptions();
  if (options.list) {
    for (const { name, core } of cases) print(core ? `${name} (core)` : name);
    return 0;
  }
  whole('slack');
  if (soakSeconds() === undefined) chosen();
  return onHosts(fileURLToPath(import.meta.url), inside);
}

program(async () => process.exit(await main()));
