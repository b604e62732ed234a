/**
 * Which server a `temporal` binary brings. Its --version names the CLI, or nothing useful when it was built from source,
 * so a server is started and asked. The answer is kept for as long as the binary does not change.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.mjs';
import { identify, readStamp, same, writeStamp } from './stamp.mjs';
import { ask, cache } from './step.mjs';

/** Activity operations and updates as this project uses them: tried on 1.29 to 1.32. */
export const oldestServer = '1.29.0';

const verdicts = join(cache, 'temporal', 'verdicts.json');

/**
 * @param {string} binary an absolute path
 * @returns {Promise<string | undefined>} the server's version; undefined when none answered
 */
export async function serverVersion(binary) {
  const file = identify(binary);
  const known = readStamp(verdicts) ?? {};
  const verdict = known[binary];
  if (verdict !== undefined && same(verdict.file, file)) return verdict.server ?? undefined;
  const server = await askServer(binary);
  writeStamp(verdicts, { ...known, [binary]: { file, server: server ?? null } });
  return server;
}

/** @param {string | undefined} version */
export function isNewEnough(version) {
  const [major, minor] = numbers(version ?? '0.0');
  const [oldestMajor, oldestMinor] = numbers(oldestServer);
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
}

/** @param {string} answer of `operator cluster system -o json` */
export function parseServerVersion(answer) {
  return /"serverVersion":\s*"(\d+\.\d+[^"]*)"/.exec(answer)?.[1];
}

/** @param {string} version @returns {[number, number]} */
function numbers(version) {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return [major, minor];
}

/** Starts a server in memory on a free port, asks it, ends it. @param {string} binary */
export async function askServer(binary) {
  const port = await freePort();
  const options = ['--headless', '--ip', '127.0.0.1', '--port', String(port), '--log-level', 'error'];
  const server = spawn(binary, ['server', 'start-dev', ...options], { stdio: 'ignore' });
  let ended = false;
  server.once('error', () => (ended = true)).once('exit', () => (ended = true));
  try {
    // Generous: a first start that reads 200 MB on a busy disk was seen to take 25 s.
    const deadline = Date.now() + 60_000;
    while (!ended && Date.now() < deadline) {
      const question = ['operator', 'cluster', 'system', '--address', `127.0.0.1:${port}`, '-o', 'json'];
      const version = parseServerVersion((await ask(binary, question, { timeoutMs: 10_000 })) ?? '');
      if (version !== undefined) return version;
      await sleep(100);
    }
    return undefined;
  } finally {
    server.kill('SIGKILL');
  }
}
