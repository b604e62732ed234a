/**
 * What the ranks of a hung gang are at, written down before anybody signals them: afterwards nothing is left to look
 * at. All of it is best effort and bounded in time; a stop must not wait for a sick driver.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { RankState } from '../workflows/contract.js';
import { writeFileAtomic } from './atomic.js';
import { rootRanks } from './end-launched.js';
import { reasonOf } from './failures.js';
import type { NodeDeps } from './node-deps.js';
import { findLaunched, pause } from './process.js';
import { run } from './shell.js';
import { tailOf } from './tail.js';

const TOOL_TIMEOUT_MS = 6_000;
/** A thread in the kernel for a moment is nothing; one that is there twice may be stuck. */
const SECOND_LOOK_MS = 500;
const THREADS = 64;
const PLOGS = 16;
const PLOG_BYTES = 4_096;

interface Rank {
  pid: number;
  rank: number;
}

export async function keepStacks(deps: NodeDeps, token: number, path: string): Promise<RankState[]> {
  const launched = (await findLaunched(deps.dataDir)).filter((process) => process.token === token);
  const ranks = await Promise.all(
    rootRanks(launched).map(async ({ pid }): Promise<Rank> => ({ pid, rank: await rankOf(pid) })),
  );
  ranks.sort((a, b) => a.rank - b.rank);
  const before = await Promise.all(ranks.map(({ pid }) => stateOf(pid)));
  const [stacks, devices] = await Promise.all([
    Promise.all(ranks.map(({ pid }) => stackOf(deps, pid))),
    deps.profile === 'npu' ? deviceText(deps, ranks) : [],
    pause(SECOND_LOOK_MS),
  ]);
  const states = await Promise.all(
    ranks.map(async ({ pid, rank }, index): Promise<RankState> => {
      const state = await stateOf(pid);
      const { at } = stacks[index]!;
      // Which it was not before: on its way through the kernel.
      const passing = state === 'D' && before[index] !== 'D';
      return { rank, state: passing ? 'R' : state, ...(at !== undefined && { at }) };
    }),
  );
  const sections = ranks.map(
    ({ pid, rank }, index) => `== rank ${rank}, pid ${pid}, state ${states[index]!.state}\n${stacks[index]!.text}`,
  );
  await writeFileAtomic(path, [new Date().toISOString(), ...sections, ...devices, ''].join('\n'));
  return states;
}

const rankOf = async (pid: number): Promise<number> =>
  Number(/(?:^|\0)RANK=(\d+)/.exec(await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => ''))?.[1] ?? -1);

/** X for a process that is gone. */
async function stateOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return text.slice(text.lastIndexOf(')') + 2)[0] ?? 'X';
}

async function stackOf(deps: NodeDeps, pid: number): Promise<{ text: string; at?: string }> {
  const threads = await threadsOf(pid);
  try {
    // Without stopping the process: a dump that is itself killed would leave it stopped.
    const dump = await ask(deps, ['py-spy', 'dump', '--nonblocking', '--pid', `${pid}`]);
    const at = innermost(dump);
    return { text: `${dump}\n${threads}`, ...(at !== undefined && { at }) };
  } catch (error) {
    return { text: `no stack of Python: ${reasonOf(error)}; with py-spy on the worker's PATH it is here\n${threads}` };
  }
}

/** The innermost function of the main thread, as py-spy prints it. */
export function innermost(dump: string): string | undefined {
  const lines = dump.split('\n');
  const main = lines.findIndex((line) => /^Thread .*MainThread/.test(line));
  const frame = lines[main + 1];
  return main >= 0 && frame?.startsWith('    ') ? frame.trim().slice(0, 200) : undefined;
}

/** Of each thread what Linux tells: name, state, where in the kernel it waits. Its kernel stack is for root alone. */
async function threadsOf(pid: number): Promise<string> {
  const tasks = await readdir(`/proc/${pid}/task`).catch(() => []);
  const texts = await Promise.all(
    tasks.slice(0, THREADS).map(async (task) => {
      const read = (name: string) => readFile(`/proc/${pid}/task/${task}/${name}`, 'utf8').catch(() => '?');
      const [name, status, waits, stack] = await Promise.all(['comm', 'status', 'wchan', 'stack'].map(read));
      const state = /^State:\s*(.*)$/m.exec(status!)?.[1] ?? '?';
      const frames = stack === '?' || stack === '' ? [] : stack!.trim().split('\n').slice(0, 12);
      return [`thread ${task} ${name!.trim()}: ${state}, waits in ${waits}`, ...frames.map((frame) => `  ${frame}`)];
    }),
  );
  return texts.flat().join('\n');
}

async function deviceText(deps: NodeDeps, ranks: Rank[]): Promise<string[]> {
  const table = await ask(deps, ['npu-smi', 'info']).catch((error: unknown) => reasonOf(error));
  return ['== npu-smi info', table, ...(await plogTails(deps, ranks))];
}

/** CANN's own logs of these ranks, `plog-<pid>_<time>.log`, the newest ones. */
async function plogTails({ env }: NodeDeps, ranks: Rank[]): Promise<string[]> {
  const dir = join(env['ASCEND_PROCESS_LOG_PATH'] ?? join(env['HOME'] ?? '/root', 'ascend/log'), 'debug/plog');
  const own = (await readdir(dir).catch(() => [])).filter((name) =>
    ranks.some(({ pid }) => name.startsWith(`plog-${pid}_`)),
  );
  const files = await Promise.all(
    own.map(async (name) => ({ path: join(dir, name), at: (await stat(join(dir, name))).mtimeMs })),
  );
  const newest = files.sort((a, b) => b.at - a.at).slice(0, PLOGS);
  return Promise.all(newest.map(async ({ path }) => `== ${path}\n${await tailOf(path, PLOG_BYTES)}`));
}

const ask = ({ name, env, dataDir }: NodeDeps, argv: string[]): Promise<string> =>
  run(argv, { env, cwd: dataDir, timeout: TOOL_TIMEOUT_MS, what: `${name}: stacks` });
