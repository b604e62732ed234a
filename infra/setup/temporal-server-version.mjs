/**
 * Which server a `temporal` binary brings. Its --version names the CLI, or nothing useful when it was built from source,
 * so a server is started and asked. The answer is kept for as long as the binary does not change.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.mjs';
import { startGroup } from './process-group.mjs';
import { identify, readStamp, same, writeStamp } from './stamp.mjs';
import { ask, cache, say } from './step.mjs';

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

/** Generous: a first start that reads 200 MB on a busy disk was seen to take 25 s. */
const WITHIN_MS = 60_000;
const ANSWER_WITHIN_MS = 10_000;
const SILENT_FOR_MS = 3_000;

/** Starts a server in memory on a free port, asks it, ends it. @param {string} binary @param {number} withinMs */
export async function askServer(binary, withinMs = WITHIN_MS) {
  const port = await freePort();
  const options = ['--headless', '--ip', '127.0.0.1', '--port', String(port), '--log-level', 'error'];
  const { child, end } = startGroup(binary, ['server', 'start-dev', ...options], { stdio: 'ignore' });
  let ended = false;
  child.once('error', () => (ended = true)).once('exit', () => (ended = true));
  const silent = setTimeout(
    () => say('temporal', `asking ${binary} which server it brings, for ${withinMs / 1000} s at most`),
    SILENT_FOR_MS,
  );
  try {
    const deadline = Date.now() + withinMs;
    for (let left = withinMs; !ended && left > 0; left = deadline - Date.now()) {
      const question = ['operator', 'cluster', 'system', '--address', `127.0.0.1:${port}`, '-o', 'json'];
      const answer = await ask(binary, question, { timeoutMs: Math.min(left, ANSWER_WITHIN_MS) });
      const version = parseServerVersion(answer ?? '');
      if (version !== undefined) return version;
      await sleep(100);
    }
    return undefined;
  } finally {
    clearTimeout(silent);
    end();
  }
}
