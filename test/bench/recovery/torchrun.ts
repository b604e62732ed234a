/**
 * The best that plain torchrun does about a fault: `--max-restarts` with c10d rendezvous, an agent on each host and one
 * to spare. It is given what it does not bring: every host has the dataset, and checkpoints go to a disk that all share,
 * which the hosts' own disks are not.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pause } from '../../../infra/demo/part.js';
import type { CommandFile } from '../../../activities/generation-files.js';
import { DATA, type Host } from '../../chaos/hosts.js';
import type { Fault, Recovered } from './main.js';

const PORT = 29_400;
const RESTARTS = 10;
/** After which nothing more is expected of it. */
const PATIENCE_MS = 180_000;

/** @param command of a launch of the same run on these hosts */
export async function recoverByTorchrun(
  hosts: Host[],
  command: CommandFile,
  dir: string,
  { fault, atIteration }: { fault: Fault; atIteration: number },
): Promise<Recovered> {
  await mkdir(dir);
  const [first, second, spare] = hosts as [Host, Host, Host];
  for (const name of await readdir(first.data))
    if (name !== 'series') await symlink(`${DATA}/${name}`, join(dir, name));
  const script = scriptOf(command.argv);
  await mkdir(join(dir, script[script.indexOf('--save') + 1]!), { recursive: true });
  const agents: ChildProcess[] = [];
  const logs = hosts.map(({ name }) => join(dir, `${name}.log`));
  const start = (host: Host): void => {
    const log = openSync(logs[hosts.indexOf(host)]!, 'a');
    const [program, ...args] = host.on([
      // Its own name is what torchrun tells the others to meet at.
      ...['unshare', '--uts', 'sh', '-c', 'hostname "$0" && cd "$1" && shift && exec "$@"', host.address, dir],
      ...[command.argv[0]!, '-m', 'torch.distributed.run', '--nnodes', '2:2', '--nproc_per_node', '1'],
      ...['--max_restarts', String(RESTARTS), '--rdzv_backend', 'c10d', '--rdzv_id', basename(dir)],
      ...['--rdzv_endpoint', `${first.address}:${PORT}`, '--rdzv_conf', `is_host=${host === first ? 1 : 0}`],
      ...script,
    ]);
    agents.push(spawn(program!, args, { env: { ...process.env, ...command.env }, stdio: ['ignore', log, log] }));
    closeSync(log);
  };
  try {
    start(first);
    start(second);
    const seen = watchIterations(logs);
    await reached(seen, ({ iteration }) => iteration >= 2);
    start(spare);
    await reached(seen, ({ iteration }) => iteration >= atIteration);
    const at = Date.now();
    if (fault === 'rank killed') process.kill((await ranksOf(second))[0]!, 'SIGKILL');
    else {
      await second.link('down');
      await second.killAll();
    }
    const last = (await seen()).at(-1)!.iteration;
    const next = await reached(seen, ({ iteration, at: when }) => when > at && iteration <= last).catch(
      () => undefined,
    );
    return next ? { next: (next.at - at) / 1000, lost: last - next.iteration + 1 } : {};
  } finally {
    await Promise.all(hosts.map((host) => host.killAll()));
    await Promise.all(agents.map(ended));
    await second.link('up');
  }
}

/** The training script with its arguments, as it goes on by itself after a restart: from its newest checkpoint, if there is one. */
export function scriptOf(argv: string[]): string[] {
  const all = argv.slice(argv.findIndex((word) => word.endsWith('/pretrain_gpt.py')));
  const alone = ['--finetune', '--no-load-optim', '--no-load-rng', '--exit-on-missing-checkpoint'];
  const script = all.filter((word, index) => !alone.includes(word) && word !== '--load' && all[index - 1] !== '--load');
  return [...script, '--load', script[script.indexOf('--save') + 1]!];
}

interface Seen {
  iteration: number;
  at: number;
}

/** What the logs say of iterations, each with the time at which it was seen first. */
function watchIterations(logs: string[]): () => Promise<Seen[]> {
  const seen: Seen[] = [];
  const counted = logs.map(() => 0);
  return async () => {
    for (const [index, log] of logs.entries()) {
      const text = await readFile(log, 'utf8').catch(() => '');
      const found = [...text.matchAll(/ iteration +(\d+)\/ *\d+ \|[^\n]*\n/g)].map(([, iteration]) =>
        Number(iteration),
      );
      seen.push(...found.slice(counted[index]).map((iteration) => ({ iteration, at: Date.now() })));
      counted[index] = found.length;
    }
    return seen;
  };
}

async function reached(look: () => Promise<Seen[]>, isIt: (seen: Seen) => boolean): Promise<Seen> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await pause(50)) {
    const found = (await look()).find(isIt);
    if (found) return found;
  }
  throw new Error('torchrun did not train that far');
}

async function ranksOf(host: Host): Promise<number[]> {
  const pids = await host.pids();
  const environments = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')));
  return pids.filter((_, index) => environments[index]!.includes('\0LOCAL_RANK='));
}

const ended = (agent: ChildProcess): Promise<void> =>
  agent.exitCode !== null || agent.signalCode !== null
    ? Promise.resolve()
    : new Promise((done) => agent.once('exit', () => done()));
