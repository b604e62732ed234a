/** Facts about processes from /proc, and the one way to find all that belongs to a launch: the token in its environment. */
import { readdir, readFile } from 'node:fs/promises';

/** Name of the variable that marks every process of a launch; its value is `<token>@<data directory>`. */
export const TOKEN = 'PRETRAIN_TOKEN';

/** The mark of a launch on one node. The directory tells nodes apart that share a kernel, as on a laptop. */
export const mark = (token: number, dataDir: string): string => `${token}@${dataDir}`;

export interface ProcessId {
  pid: number;
  /** Kernel ticks since boot at which it started: with the pid, an identity that is never used again. */
  startTime: string;
}

export interface TokenProcess extends ProcessId {
  token: number;
  /** A rank, not torchrun and not the guard: torchrun gives each rank its RANK. */
  rank: boolean;
}

/** Identity of a running process; `undefined` for one that is gone or a zombie. */
export async function identify(pid: number): Promise<ProcessId | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return undefined;
  // The name, in parentheses, may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return { pid, startTime: fields[19]! };
}

export const isAlive = async ({ pid, startTime }: ProcessId): Promise<boolean> =>
  (await identify(pid))?.startTime === startTime;

export const bootId = async (): Promise<string> => (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();

/** Seconds since boot, suspended time included (CLOCK_BOOTTIME): no change of the wall clock moves it. */
export const bootSeconds = async (): Promise<number> => Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0]);

/** Every process that some launch of this node started, by the token in its environment, whatever session or parent it has now. */
export async function findLaunched(dataDir: string): Promise<TokenProcess[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map((pid) => readLaunched(pid, dataDir)));
  return found.filter((process) => process !== undefined);
}

async function readLaunched(pid: number, dataDir: string): Promise<TokenProcess | undefined> {
  // Another user's process cannot be read, and cannot be ours.
  const environ = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  const variables = environ.split('\0');
  const [token, dir] = split(variables.find((variable) => variable.startsWith(`${TOKEN}=`))?.slice(TOKEN.length + 1));
  if (token === undefined || dir !== dataDir) return undefined;
  const id = await identify(pid);
  return id && { ...id, token: Number(token), rank: variables.some((variable) => variable.startsWith('LOCAL_RANK=')) };
}

const split = (value: string | undefined): string[] => {
  const at = value?.indexOf('@') ?? -1;
  return at < 0 ? [] : [value!.slice(0, at), value!.slice(at + 1)];
};

/** Signals a process unless it is gone, or its pid is another's by now. */
export async function signal(process_: ProcessId, name: NodeJS.Signals): Promise<void> {
  if (!(await isAlive(process_))) return;
  try {
    process.kill(process_.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/**
 * Ends every process whose token fits: SIGTERM to the ranks, which may save; after the grace SIGKILL to all, again
 * until a look finds none. Ranks and not torchrun, since torchrun kills its ranks after a grace of its own.
 * @returns how many processes there were
 */
export async function endLaunched(
  dataDir: string,
  fits: (token: number) => boolean,
  graceMs: number,
  onPoll: () => void = () => undefined,
): Promise<number> {
  const look = async () => (await findLaunched(dataDir)).filter(({ token }) => fits(token));
  const first = await look();
  const ranks = first.filter(({ rank }) => rank);
  await Promise.all(ranks.map((process) => signal(process, 'SIGTERM')));
  for (const deadline = Date.now() + graceMs; ranks.length && Date.now() < deadline;) {
    const alive = await Promise.all(ranks.map(isAlive));
    if (!alive.includes(true)) break;
    onPoll();
    await pause(100);
  }
  for (let left = await look(); left.length; left = await look()) {
    await Promise.all(left.map((process) => signal(process, 'SIGKILL')));
    onPoll();
    await pause(50);
  }
  return first.length;
}

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
