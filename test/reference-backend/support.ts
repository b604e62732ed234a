/** Runs the reference backend's scripts on nodes that are directories, and reads what they print and leave. */
import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, open, readdir, readFile, readlink, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../infra/setup/free-port.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const backend = join(root, 'infra/reference-backend');
export const golden = join(root, 'test/fixtures/golden');
const python = join(root, '.venv/bin/python');

export interface Running {
  /** The exit code, or the signal that ended it. */
  exit: Promise<number | string>;
  log(): Promise<string>;
}

export interface Layout {
  nodes: number;
  ranksPerNode: number;
  arguments: string[];
  /** Per iteration: its number, learning rate, loss, gradient norm. */
  curve: [number, number, number, number][];
  /** Per checkpoint file and weight: l2 norm, sum. */
  weights: Record<string, Record<string, [number, number]>>;
}

export interface Recorded {
  /** What all layouts have in common. */
  arguments: string[];
  layouts: Record<string, Layout>;
}

export async function readJson<T>(...path: string[]): Promise<T> {
  return JSON.parse(await readFile(join(...path), 'utf8')) as T;
}

export const recorded = (): Promise<Recorded> => readJson<Recorded>(golden, 'train/curves.json');

/** A directory of nodes; `close` ends every process that still works in it. */
export async function makeSite(): Promise<{ dir: string; close(): Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'reference-'));
  return {
    dir,
    async close() {
      await killIn(dir);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** A node without a shared disk: its own data, tokenizer and, converted, initial weights. */
export async function makeNode(site: string, name: string, weights?: string): Promise<string> {
  const node = join(site, name);
  await mkdir(join(node, 'data'), { recursive: true });
  for (const file of ['tiny_text_document.bin', 'tiny_text_document.idx'])
    await cp(join(golden, 'train', file), join(node, 'data', file));
  await cp(join(golden, 'train/tiny-tokenizer'), join(node, 'tiny-tokenizer'), { recursive: true });
  if (weights) await symlink(weights, join(node, 'ckpt'));
  return node;
}

/** Starts a Python command that writes into a log in its directory. */
export async function start(
  dir: string,
  args: string[],
  env: Record<string, string> = {},
  log = 'log',
): Promise<Running> {
  const file = await open(join(dir, log), 'w');
  const child = spawn(python, args, {
    cwd: dir,
    stdio: ['ignore', file.fd, file.fd],
    env: { ...process.env, OMP_NUM_THREADS: '1', GLOO_SOCKET_IFNAME: 'lo', ...env },
  });
  const exit = new Promise<number | string>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  void exit.finally(() => file.close());
  return { exit, log: () => readFile(join(dir, log), 'utf8') };
}

export interface Finished {
  exits: (number | string)[];
  logs: string[];
}

/** Waits until all have ended. */
export async function finished(running: Running[]): Promise<Finished> {
  const exits = await Promise.all(running.map(({ exit }) => exit));
  return { exits, logs: await Promise.all(running.map(({ log }) => log())) };
}

/** One torchrun a node, as people start it; each with a port of its own when they are told different ones. */
export async function torchrun(
  nodes: string[],
  ranksPerNode: number,
  args: string[],
  env = {},
  ports?: number[],
): Promise<Running[]> {
  const port = await freePort();
  return Promise.all(
    nodes.map((node, rank) => {
      const launch = ['--nproc_per_node', String(ranksPerNode), '--nnodes', String(nodes.length)];
      launch.push('--node_rank', String(rank), '--master_addr', '127.0.0.1');
      launch.push('--master_port', String(ports?.[rank] ?? port));
      // It looks at its ranks this often (5 s unless told); half of a short run's time otherwise.
      launch.push('--monitor_interval', '0.3');
      return start(node, ['-m', 'torch.distributed.run', ...launch, join(backend, 'pretrain_gpt.py'), ...args], env);
    }),
  );
}

/** One rank a node, without torchrun: its exit code is the script's own. */
export async function ranks(nodes: string[], args: string[], env = {}): Promise<Running[]> {
  const port = String(await freePort());
  return Promise.all(
    nodes.map((node, rank) =>
      start(node, [join(backend, 'pretrain_gpt.py'), ...args], {
        RANK: String(rank),
        WORLD_SIZE: String(nodes.length),
        LOCAL_RANK: '0',
        MASTER_ADDR: '127.0.0.1',
        MASTER_PORT: port,
        ...env,
      }),
    ),
  );
}

/** Runs a helper of this folder and returns what it prints. */
export async function helper<T>(dir: string, name: string, ...args: string[]): Promise<T> {
  const script = fileURLToPath(new URL(name, import.meta.url));
  const running = await start(dir, [script, ...args], { PYTHONPATH: backend }, `${name}.log`);
  const [code, log] = [await running.exit, await running.log()];
  if (code !== 0) throw new Error(`${name} ${args.join(' ')}: exit ${code}\n${log}`);
  return JSON.parse(log.slice(log.lastIndexOf('\n{') + 1)) as T;
}

export interface Iteration {
  iteration: number;
  samples: number;
  learningRate: number;
  loss: number;
  gradientNorm: number;
}

export function iterationsIn(log: string): Iteration[] {
  const line =
    /iteration +(\d+)\/.*consumed samples: +(\d+) .*learning rate: (\S+) .*lm loss: (\S+) .*grad norm: (\S+) /g;
  return [...log.matchAll(line)].map((match) => {
    const [iteration, samples, learningRate, loss, gradientNorm] = match.slice(1).map(Number) as Tuple;
    return { iteration, samples, learningRate, loss, gradientNorm };
  });
}
type Tuple = [number, number, number, number, number];

/** Of each iteration line what does not depend on the clock. */
export function printed(log: string): string[] {
  return iterationsIn(log).map(({ iteration, samples, learningRate, loss, gradientNorm }) =>
    [iteration, samples, learningRate, loss, gradientNorm].join(' '),
  );
}

/** Processes that work in a directory or below, and what their environment says of their rank. */
export async function processesIn(dir: string): Promise<{ pid: number; rank: number | undefined; command: string }[]> {
  const found = [];
  for (const pid of await readdir('/proc').then((names) => names.filter((name) => /^\d+$/.test(name)))) {
    try {
      if (!(await readlink(`/proc/${pid}/cwd`)).startsWith(dir)) continue;
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8');
      const rank = /(?:^|\0)RANK=(\d+)/.exec(environment)?.[1];
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8');
      found.push({ pid: Number(pid), rank: rank === undefined ? undefined : Number(rank), command });
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

async function killIn(dir: string): Promise<void> {
  for (const { pid } of await processesIn(dir)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Gone already.
    }
  }
}

/** Waits until a log says something; the test's own time limit ends it otherwise. */
export async function says(running: Running, text: RegExp): Promise<void> {
  while (!text.test(await running.log())) await new Promise((resolve) => setTimeout(resolve, 50));
}
