/**
 * `npm run chaos`: the fault matrix. Each case hurts a run on simulated hosts and checks what must hold whatever happens.
 *
 *     --core | --only name,… | --random 50 --seed 7    which cases; all without. --list names them
 *     --json                                           the last line on stdout is one JSON object
 *     --results DIR                                    where rows and the evidence of failed cases are kept
 *     --keep                                           evidence of every case
 *     --anew                                           forgets the rows of a matrix that was broken off; else it goes on
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { root } from '../../workers/config.js';
import { program } from '../../workers/program.js';
import { cases, type Case } from './cases.js';
import { openHardware } from './cluster.js';
import { playMatrix, print } from './matrix.js';
import { makeNamespaces, namespaceOf, removeNamespaces, SWITCH, whyNot } from './namespaces.js';
import { randomCases } from './random.js';
import { openResults } from './results.js';

const readOptions = () =>
  parseArgs({
    options: {
      only: { type: 'string' },
      core: { type: 'boolean', default: false },
      random: { type: 'string' },
      seed: { type: 'string', default: '1' },
      list: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      anew: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
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

function whole(name: 'random' | 'seed'): number {
  const value = Number(options[name]);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new Error(`--${name}: expected a whole number from 1, got ${options[name]}`);
}

/** Variables by which the outer process tells the inner one where it is. */
const [PREFIX, DIR] = ['CHAOS_PREFIX', 'CHAOS_DIR'];
/** How long the inner process may take to end after it was told to. */
const END_MS = 5_000;

/** Makes the hosts, runs this program again inside the switch's namespace, and clears away however that ends. */
async function outside(): Promise<number> {
  const why = await whyNot();
  if (why !== undefined) throw new Error(`no hosts can be simulated on this machine: ${why}`);
  const prefix = await makeNamespaces();
  const dir = await mkdtemp(join(tmpdir(), 'chaos-'));
  const self = [process.execPath, '--import', 'tsx', fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  try {
    const inner = spawn('ip', ['netns', 'exec', namespaceOf(prefix, SWITCH.name), ...self], {
      env: { ...process.env, [PREFIX]: prefix, [DIR]: dir },
      stdio: 'inherit',
    });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => {
        inner.kill('SIGTERM');
        setTimeout(() => inner.kill('SIGKILL'), END_MS).unref();
      });
    return await new Promise((done, fail) =>
      inner
        .once('error', fail)
        .once('exit', (code, signal) => done(code ?? 128 + (signal ? constants.signals[signal] : 0))),
    );
  } finally {
    await removeNamespaces(prefix);
    await rm(dir, { recursive: true, force: true });
  }
}

async function inside(prefix: string, dir: string): Promise<number> {
  // The outer process tells this one to end; a terminal would tell both.
  process.on('SIGINT', () => undefined);
  const outer = process.ppid;
  setInterval(() => process.ppid !== outer && process.exit(1), 1000).unref();
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
  const [prefix, dir] = [process.env[PREFIX], process.env[DIR]];
  if (prefix !== undefined && dir !== undefined) return inside(prefix, dir);
  if (!options.list) {
    chosen();
    return outside();
  }
  for (const { name, core } of cases) print(core ? `${name} (core)` : name);
  return 0;
}

program(async () => process.exit(await main()));
