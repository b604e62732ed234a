/**
 * `npx tsx test/chaos/data-kill.ts [--times 50] [--seed 1] [--only shard,transfer,merge,replication,restore] [--json]`: a node
 * in a process of its own makes a shard, copies an artifact, merges shards, seals and copies a checkpoint, restores one, and is killed
 * with SIGKILL each time: at any change of its disk, drawn by the seed, or up to two milliseconds after. Then nothing may
 * pass for complete that is not, by what those who use it look at; every second time it is killed once more on what it
 * left. The next attempt must come to the same bytes.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { uniform } from '../../infra/demo/random.js';
import { program } from '../../workers/program.js';
import type { Order } from './data-kill/child.js';
import { perform } from './data-kill/deeds.js';
import { openScenes, type Scene } from './data-kill/scenes.js';

const CHILD = fileURLToPath(new URL('./data-kill/child.ts', import.meta.url));
const LATEST_MS = 2;

interface Found {
  /** Calls that change something, in a run that nobody kills. */
  changes: number;
  killed: number;
  /** Ended before it could be killed. */
  ended: number;
  /** What passed for complete and was not. */
  wrong: string[];
  /** Next attempts, those that came to other bytes, and temporary files that they left. */
  reruns: number;
  different: number;
  leftovers: number;
}

function startChild() {
  const child = fork(CHILD, { execArgv: ['--import', 'tsx'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ready = once(child, 'message');
  return { child, ready };
}

/** @returns how many changes it made, or that it was killed */
async function order({ child, ready }: { child: ChildProcess; ready: Promise<unknown> }, what: Order) {
  await ready;
  const done = new Promise<number | undefined>((resolve) => {
    child.once('message', ({ changes }: { changes: number }) => resolve(changes));
    child.once('exit', () => resolve(undefined));
  });
  const exit = once(child, 'exit') as Promise<[number | null]>;
  child.send(what);
  const changes = await done;
  const [code] = await exit;
  if (code !== null && changes === undefined) throw new Error(`${what.deed} failed with exit code ${code}`);
  return changes ?? 'killed';
}

/** Of all that is no leftover, whenever something was set aside. */
async function digestOf(root: string): Promise<{ digest: string; leftovers: number }> {
  const entries = (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const paths = entries.map(({ parentPath, name }) => join(parentPath, name).slice(root.length + 1)).sort();
  const hash = createHash('sha256');
  let leftovers = 0;
  for (const path of paths) {
    if (path.split('/').some((name) => name.startsWith('.') || name.endsWith('.tmp'))) leftovers++;
    else hash.update(`${path.replace(/^set-aside\/[^/]+/, 'set-aside')}\0`).update(await readFile(join(root, path)));
  }
  return { digest: hash.digest('hex'), leftovers };
}

async function play(scene: Scene, root: string, times: number, random: () => number): Promise<Found> {
  const { deed, input, before, latestMs = LATEST_MS } = scene;
  const found: Found = { changes: 0, killed: 0, ended: 0, wrong: [], reruns: 0, different: 0, leftovers: 0 };
  let count = 0;
  const fresh = async () => {
    const dir = join(root, `${deed}-${count++}`);
    await cp(before, dir, { recursive: true, preserveTimestamps: true });
    return dir;
  };
  let next = startChild();
  let dataDir = await fresh();
  const whole = await order(next, { deed, dataDir, input, change: 0, lateMs: 0 });
  if (whole === 'killed') throw new Error(`${deed}: somebody else killed it`);
  found.changes = whole;
  found.wrong.push(...(await scene.wrong(dataDir)));
  const expected = (await digestOf(join(dataDir, scene.dir))).digest;

  next = startChild();
  dataDir = await fresh();
  for (let again = false; found.killed < times;) {
    const change = 1 + Math.floor(random() * found.changes);
    const lateMs = random() < 0.5 ? 0 : random() * latestMs;
    const child = next;
    next = startChild();
    const isKilled = (await order(child, { deed, dataDir, input, change, lateMs })) === 'killed';
    found[isKilled ? 'killed' : 'ended']++;
    found.wrong.push(...(await scene.wrong(dataDir)).map((what) => `${what} (change ${change} of ${dataDir})`));
    again = isKilled && !again;
    if (again && found.killed < times) continue;
    await perform(deed, dataDir, input);
    found.reruns++;
    found.wrong.push(...(await scene.wrong(dataDir)));
    const { digest, leftovers } = await digestOf(join(dataDir, scene.dir));
    found.leftovers += leftovers;
    if (digest === expected) await rm(dataDir, { recursive: true });
    else found.different++;
    again = false;
    dataDir = await fresh();
  }
  await next.ready;
  next.child.kill('SIGKILL');
  return found;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      times: { type: 'string', default: '50' },
      seed: { type: 'string', default: '1' },
      only: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const root = await mkdtemp(join(tmpdir(), 'data-kill-'));
  const { scenes, close } = await openScenes(root);
  const only = values.only?.split(',');
  const all: Record<string, Found> = {};
  for (const scene of scenes.filter(({ deed }) => !only || only.includes(deed))) {
    const found = await play(scene, root, Number(values.times), uniform(Number(values.seed)));
    all[scene.deed] = found;
    const { changes, killed, ended, wrong, reruns, different, leftovers } = found;
    process.stdout.write(
      `${scene.deed}: killed ${killed} times at one of ${changes} changes (${ended} times it ended before): ${wrong.length} passed for complete and were not; ${reruns} next attempts, ${different} of them to other bytes, ${leftovers} temporary files left\n`,
    );
    for (const what of wrong.slice(0, 10)) process.stdout.write(`  ${what}\n`);
  }
  await close();
  const failed = Object.values(all).some(({ wrong, different }) => wrong.length + different > 0);
  if (failed) process.stdout.write(`what they left is in ${root}\n`);
  else await rm(root, { recursive: true });
  if (values.json) process.stdout.write(`${JSON.stringify(all)}\n`);
  return failed || Object.keys(all).length === 0 ? 1 : 0;
}

program(main);
