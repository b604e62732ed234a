/** A command as a whole: CPU seconds of all its processes, wall time, and the most memory they had together. */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';

export interface Measured {
  cpuSeconds: number;
  wallSeconds: number;
  /** Largest sum of the resident sizes of all its processes, looked at every so often. */
  peakBytes: number;
}

const LOOK_EVERY = 100;

/** @throws Error with the end of what the command said, when it fails */
export async function measure(command: string[], env: NodeJS.ProcessEnv): Promise<Measured> {
  // The shell's `times` counts children that were waited for, and theirs.
  const shell = spawn('bash', ['-c', '"$@" >&2 || exit; times', 'bash', ...command], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const started = process.hrtime.bigint();
  let said = '';
  let times = '';
  let peakBytes = 0;
  shell.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
  shell.stdout.on('data', (chunk: Buffer) => (times += chunk.toString()));
  const looking = setInterval(() => {
    void residentBelow(shell.pid!).then((bytes) => (peakBytes = Math.max(peakBytes, bytes)));
  }, LOOK_EVERY);
  const code = await new Promise((resolve) => shell.once('close', resolve));
  clearInterval(looking);
  const wallSeconds = Number(process.hrtime.bigint() - started) / 1e9;
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${String(code)}: ${said.trim()}`);
  return { cpuSeconds: childSeconds(times), wallSeconds, peakBytes };
}

/** `times` prints user and system time of the shell, then of its children. */
export function childSeconds(printed: string): number {
  const numbers = [...printed.matchAll(/(\d+)m([\d.]+)s/g)].map(
    ([, minutes, seconds]) => Number(minutes) * 60 + Number(seconds),
  );
  return numbers[2]! + numbers[3]!;
}

async function residentBelow(pid: number): Promise<number> {
  const read = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
  const children = (await read(`task/${pid}/children`)).split(' ').filter(Boolean).map(Number);
  const pages = Number((await read('statm')).split(' ')[1] ?? 0);
  const below = await Promise.all(children.map(residentBelow));
  return below.reduce((sum, bytes) => sum + bytes, pages * 4096);
}
