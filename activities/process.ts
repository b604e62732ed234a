/** Facts about processes from /proc, and the one way to find all that belongs to a launch: the token in its environment. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createFileOnce, readIfThere } from './atomic.js';

/** Name of the variable that marks every process of a launch; its value is `<token>@<owner>`. */
export const TOKEN = 'PRETRAIN_TOKEN';
/** Set for a launch's guard only. */
export const GUARD = 'PRETRAIN_GUARD';

/** The mark of a launch on one node. */
export const mark = (token: number, owner: string): string => `${token}@${owner}`;

/**
 * A name for this data directory that no other has, made once. It tells nodes apart that share a kernel, as on a
 * laptop; the path would not, where each node sees its own directory under the same one.
 */
export async function ownerOf(dataDir: string): Promise<string> {
  const path = join(dataDir, 'owner');
  const known = await readIfThere(path);
  if (known) return known.toString('utf8');
  await createFileOnce(path, crypto.randomUUID());
  return readFile(path, 'utf8');
}

export interface ProcessId {
  pid: number;
  /** Kernel ticks since boot at which it started: with the pid, an identity that is never used again. */
  startTime: string;
}

export interface TokenProcess extends ProcessId {
  token: number;
  /** A rank, or what a rank has started; torchrun gives each one its LOCAL_RANK. */
  rank: boolean;
  guard: boolean;
  parent: number;
}

/** Identity of a running process; `undefined` for one that is gone or a zombie. */
export async function identify(pid: number): Promise<ProcessId | undefined> {
  const found = await readStat(pid);
  return found && { pid, startTime: found.startTime };
}

interface Stat {
  startTime: string;
  parent: number;
  group: number;
  ticks: number;
}

async function readStat(pid: number): Promise<Stat | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return undefined;
  // The name, in parentheses, may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  const [parent, group, ...ticks] = [1, 2, 11, 12].map((place) => Number(fields[place]));
  return { startTime: fields[19]!, parent: parent!, group: group!, ticks: ticks[0]! + ticks[1]! };
}

/** Kernel ticks a second, whatever the kernel's own clock. */
const USER_HZ = 100;

/** CPU time that a process has used, of all its threads; `undefined` for one that is gone. */
export const cpuSeconds = async (pid: number): Promise<number | undefined> => {
  const found = await readStat(pid);
  return found && found.ticks / USER_HZ;
};

export const isAlive = async ({ pid, startTime }: ProcessId): Promise<boolean> =>
  (await identify(pid))?.startTime === startTime;

export const bootId = async (): Promise<string> => (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();

/** Seconds since boot, suspended time included (CLOCK_BOOTTIME): no change of the wall clock moves it. */
export const bootSeconds = async (): Promise<number> => Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0]);

/** Every process that some launch of this node started, whatever session or parent it has now; not their guards. */
export const findLaunched = async (dataDir: string): Promise<TokenProcess[]> =>
  (await findMarked(dataDir)).filter(({ guard }) => !guard);

/** Every process with a mark of this node, by its environment. */
export async function findMarked(dataDir: string): Promise<TokenProcess[]> {
  const owner = await ownerOf(dataDir);
  const pids = await allPids();
  const found = await Promise.all(pids.filter((pid) => pid !== process.pid).map((pid) => readMarked(pid, owner)));
  return found.filter((process) => process !== undefined);
}

const allPids = async (): Promise<number[]> =>
  (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);

/** Whether anything of this process group runs. What ended counts as gone, though nobody has waited for it. */
export async function isGroupAlive(group: number): Promise<boolean> {
  const found = await Promise.all((await allPids()).map(readStat));
  return found.some((process) => process?.group === group);
}

async function readMarked(pid: number, owner: string): Promise<TokenProcess | undefined> {
  // Another user's process cannot be read, and cannot be ours.
  const environ = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  const variables = environ.split('\0');
  const value = variables.find((variable) => variable.startsWith(`${TOKEN}=`))?.slice(TOKEN.length + 1) ?? '';
  if (!value.endsWith(`@${owner}`)) return undefined;
  const stat = await readStat(pid);
  if (!stat) return undefined;
  const has = (name: string) => variables.some((variable) => variable.startsWith(`${name}=`));
  const { startTime, parent } = stat;
  const token = Number(value.split('@', 1)[0]);
  return { pid, startTime, parent, token, rank: has('LOCAL_RANK'), guard: has(GUARD) };
}

/** Signals a process unless it is gone, or its pid is another's by now. */
export async function signal(process_: ProcessId, name: NodeJS.Signals): Promise<void> {
  if (!(await isAlive(process_))) return;
  try {
    process.kill(process_.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
