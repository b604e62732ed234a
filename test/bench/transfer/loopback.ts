/** One transfer on loopback, beside curl from nginx followed by sha256sum of the same file. */
import { execFile, spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../../activities/free-port.js';
import { copy, startPart, type Origin } from './receivers.js';

const run = promisify(execFile);
const ROUNDS = 3;

/** Megabytes a second, the median of several rounds that take turns. */
export async function measureLoopback(dir: string, origin: Origin): Promise<{ ours: number; peer?: number }> {
  const megabytes = origin.artifact.bytes / 1e6;
  const nginx = await startNginx(dir, origin);
  const [ours, peer]: number[][] = [[], []];
  try {
    for (let round = 0; round < ROUNDS; round++) {
      ours!.push(megabytes / (await oneTransfer(join(dir, 'loopback'), origin)));
      if (nginx) peer!.push(megabytes / (await curlAndHash(join(dir, 'curl'), nginx.url)));
    }
  } finally {
    nginx?.stop();
  }
  return { ours: median(ours!), ...(nginx && { peer: median(peer!) }) };
}

async function oneTransfer(dataDir: string, origin: Origin): Promise<number> {
  const here = (args: string[]) => args;
  const parts = [
    await startPart(here, 'origin', origin.dataDir, '127.0.0.1'),
    await startPart(here, 'receiver', dataDir, '127.0.0.1'),
  ] as const;
  try {
    const start = performance.now();
    await copy(parts[1], origin.artifact, [parts[0].peer], []);
    return (performance.now() - start) / 1000;
  } finally {
    for (const { process } of parts) process.kill('SIGKILL');
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** The copy is on disk for sure afterwards, as ours is. */
async function curlAndHash(dir: string, url: string): Promise<number> {
  await mkdir(dir, { recursive: true });
  const to = join(dir, 'file');
  try {
    const start = performance.now();
    await run('curl', ['-sf', '-o', to, url]);
    await run('sync', [to]);
    await run('sha256sum', [to]);
    return (performance.now() - start) / 1000;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function startNginx(dir: string, origin: Origin): Promise<{ url: string; stop(): void } | undefined> {
  if (!(await run('nginx', ['-v']).catch(() => undefined))) return undefined;
  const port = await freePort('127.0.0.1');
  const config = join(dir, 'nginx.conf');
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  await writeFile(
    config,
    `daemon off; worker_processes 1; user root; pid ${dir}/nginx.pid; error_log ${dir}/nginx.log;
events {}
http { sendfile on; access_log off; ${paths.map((path) => `${path}_temp_path ${dir}/${path};`).join(' ')}
  server { listen 127.0.0.1:${port}; root ${dirname(origin.file)}; } }`,
  );
  const child = spawn('nginx', ['-p', dir, '-e', `${dir}/nginx.log`, '-c', config], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const url = `http://127.0.0.1:${port}/prefix.bin`;
  for (let tries = 0; tries < 50; tries++) {
    if (
      await fetch(url, { method: 'HEAD' }).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      return { url, stop: () => child.kill() };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  child.kill();
  throw new Error(`nginx does not serve ${url}`);
}

const median = (numbers: number[]): number => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
