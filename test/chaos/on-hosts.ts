/** Runs a program among simulated hosts: outside it makes them and starts itself again, inside it has them. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeNamespaces, namespaceOf, removeNamespaces, SWITCH, whyNot } from './namespaces.js';

/** Variables by which the outer process tells the inner one where it is. */
const [PREFIX, DIR] = ['CHAOS_PREFIX', 'CHAOS_DIR'];
/** How long the inner process may take to end after it was told to. */
const END_MS = 5_000;

/**
 * @param program file that calls this, with its options in `process.argv`
 * @param inside what it does on the switch's host; `prefix` names the namespaces, `dir` is for its files
 * @returns exit code
 */
export async function onHosts(
  program: string,
  inside: (prefix: string, dir: string) => Promise<number>,
): Promise<number> {
  const [prefix, dir] = [process.env[PREFIX], process.env[DIR]];
  if (prefix === undefined || dir === undefined) return outside(program);
  // The outer process tells this one to end; a terminal would tell both.
  process.on('SIGINT', () => undefined);
  const outer = process.ppid;
  setInterval(() => process.ppid !== outer && process.exit(1), 1000).unref();
  return inside(prefix, dir);
}

/** Makes the hosts, runs the program again inside the switch's namespace, and clears away however that ends. */
async function outside(program: string): Promise<number> {
  const why = await whyNot();
  if (why !== undefined) throw new Error(`no hosts can be simulated on this machine: ${why}`);
  const prefix = await makeNamespaces();
  const dir = await mkdtemp(join(tmpdir(), 'chaos-'));
  const self = [process.execPath, '--import', 'tsx', program, ...process.argv.slice(2)];
  try {
    const inner = spawn('ip', ['netns', 'exec', namespaceOf(prefix, SWITCH.name), ...self], {
      env: { ...process.env, [PREFIX]: prefix, [DIR]: dir },
      stdio: 'inherit',
    });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => {
        inner.kill('SIGTERM');
        setTimeout(() => inner.kill('SIGKILL'), END_MS).unref();
      });
    return await new Promise((done, fail) =>
      inner
        .once('error', fail)
        .once('exit', (code, signal) => done(code ?? 128 + (signal ? constants.signals[signal] : 0))),
    );
  } finally {
    await removeNamespaces(prefix);
    await rm(dir, { recursive: true, force: true });
  }
}
