/**
 * The machines of the fault matrix: a namespace for the switch, where the program itself runs, and one for each host,
 * plugged into its bridge. Nothing touches the machine's own network. Whatever is made is named after this process, so
 * that a later start can clear away what a killed one left.
 */
import { execFile } from 'node:child_process';
import { readdir, readlink, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { pause } from '../../infra/demo/part.js';

const run = promisify(execFile);
const ip = async (...args: string[]): Promise<void> => void (await run('ip', args));

const NET = '10.77.0';
export const SWITCH = { name: 'switch', address: `${NET}.1` };
export const CONTROL = { name: 'control', address: `${NET}.2` };
export const NODES = ['n1', 'n2', 'n3', 'n4'].map((name, index) => ({ name, address: `${NET}.${11 + index}` }));

export const namespaceOf = (prefix: string, name: string): string => `${prefix}-${name}`;
export const portOf = (name: string): string => `p-${name}`;

/** Why no hosts can be simulated here, if so. */
export async function whyNot(): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'it needs Linux and root';
  for (const [command, ...args] of [
    ['ip', '-V'],
    ['tc', '-V'],
    ['unshare', '--net', '--mount', 'true'],
  ] as [string, ...string[]][]) {
    const failed = await run(command, args).then(
      () => undefined,
      (error: Error) => error.message.trim().split('\n').at(-1),
    );
    if (failed !== undefined)
      return `\`${[command, ...args].join(' ')}\` fails: ${failed} (Debian: apt install iproute2)`;
  }
  return undefined;
}

/** Returns the prefix of the names of what was made. */
export async function makeNamespaces(): Promise<string> {
  await clearLeftovers();
  const prefix = `chaos${process.pid}`;
  const hub = namespaceOf(prefix, SWITCH.name);
  await ip('netns', 'add', hub);
  await ip('-n', hub, 'link', 'set', 'lo', 'up');
  await ip('-n', hub, 'link', 'add', 'br0', 'type', 'bridge', 'stp_state', '0', 'forward_delay', '0');
  await ip('-n', hub, 'addr', 'add', `${SWITCH.address}/24`, 'dev', 'br0');
  await ip('-n', hub, 'link', 'set', 'br0', 'up');
  for (const { name, address } of [CONTROL, ...NODES]) {
    const host = namespaceOf(prefix, name);
    await ip('netns', 'add', host);
    await ip('-n', host, 'link', 'set', 'lo', 'up');
    await ip('-n', hub, 'link', 'add', portOf(name), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', host);
    await ip('-n', hub, 'link', 'set', portOf(name), 'master', 'br0', 'up');
    await ip('-n', host, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    await ip('-n', host, 'link', 'set', 'eth0', 'up');
    await run('ip', ['netns', 'exec', hub, 'tc', 'qdisc', 'add', 'dev', portOf(name), 'clsact']);
  }
  return prefix;
}

/** Ends every process in the namespaces of this prefix, and takes the namespaces away. */
export async function removeNamespaces(prefix: string): Promise<void> {
  const names = (await readdir('/run/netns').catch(() => [])).filter((name) => name.startsWith(`${prefix}-`));
  for (const name of names) await killAllIn(name);
  for (const name of names) await ip('netns', 'del', name).catch(() => undefined);
}

/** What a start of this program left that was killed before it could clear away. */
async function clearLeftovers(): Promise<void> {
  const prefixes = new Set(
    (await readdir('/run/netns').catch(() => [])).flatMap((n) => /^chaos\d+(?=-)/.exec(n) ?? []),
  );
  for (const prefix of prefixes)
    if (!(await isThere(`/proc/${prefix.slice('chaos'.length)}`))) await removeNamespaces(prefix);
}

/** Kills with SIGKILL until nothing is left: a process may start another between look and kill. */
export async function killAllIn(namespace: string): Promise<void> {
  for (let pids = await pidsIn(namespace); pids.length > 0; pids = await pidsIn(namespace)) {
    pids.filter((pid) => pid !== process.pid).forEach(killQuietly);
    await pause(10);
  }
}

/** All processes of a namespace; none that has ended and only waits for its parent. */
export async function pidsIn(namespace: string): Promise<number[]> {
  const inode = await stat(`/run/netns/${namespace}`).then(({ ino }) => ino);
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const inside = await Promise.all(
    pids.map(async (pid) => (await readlink(`/proc/${pid}/ns/net`).catch(() => '')) === `net:[${inode}]`),
  );
  return pids.filter((_, index) => inside[index]).map(Number);
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

export function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already, which is what was wanted.
  }
}
