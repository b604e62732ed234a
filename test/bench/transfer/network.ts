/** Hosts on one switch, each with a link of the same rate in both directions: namespaces, veth pairs and tc. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { killAllIn, whyNot } from '../../chaos/namespaces.js';

const run = promisify(execFile);

export interface Host {
  name: string;
  address: string;
  /** The command line that runs a command there. */
  on(command: string[]): string[];
  /** Bytes that it has put on its link. */
  sent(): Promise<number>;
}

export interface Network {
  /** The origin, then the receivers. */
  hosts: Host[];
  close(): Promise<void>;
}

/**
 * @param sendBuffer bytes of a connection that the system takes before they are on the line: what is in there no sender
 * can put in another order
 */
export async function openNetwork(receivers: number, megabytesPerSecond: number, sendBuffer: number): Promise<Network> {
  const reason = await whyNot();
  if (reason) throw new Error(`bench transfer: no hosts can be simulated here: ${reason}`);
  const prefix = `bench${process.pid}`;
  const hub = `${prefix}-switch`;
  const names = [hub];
  const shape = ['root', 'tbf', 'rate', `${megabytesPerSecond * 8}mbit`, 'burst', '64k', 'latency', '150ms'];
  const close = async () => {
    for (const name of names) await killAllIn(name).catch(() => undefined);
    for (const name of names) await run('ip', ['netns', 'del', name]).catch(() => undefined);
  };
  try {
    await run('ip', ['netns', 'add', hub]);
    await run('ip', ['-n', hub, 'link', 'add', 'br0', 'type', 'bridge', 'stp_state', '0', 'forward_delay', '0']);
    await run('ip', ['-n', hub, 'link', 'set', 'br0', 'up']);
    const hosts: Host[] = [];
    for (let index = 0; index <= receivers; index++) {
      const [name, port, address] = [`${prefix}-h${index}`, `p-h${index}`, `10.78.0.${10 + index}`];
      const inside = ['-n', name];
      await run('ip', ['netns', 'add', name]);
      names.push(name);
      await run('ip', [...inside, 'link', 'set', 'lo', 'up']);
      const buffer = `net.ipv4.tcp_wmem=4096 16384 ${Math.max(16384, Math.round(sendBuffer))}`;
      await run('ip', ['netns', 'exec', name, 'sysctl', '-qw', buffer]);
      await run('ip', ['-n', hub, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name]);
      await run('ip', ['-n', hub, 'link', 'set', port, 'master', 'br0', 'up']);
      await run('ip', [...inside, 'addr', 'add', `${address}/24`, 'dev', 'eth0']);
      await run('ip', [...inside, 'link', 'set', 'eth0', 'up']);
      await run('tc', ['-n', hub, 'qdisc', 'add', 'dev', port, ...shape]);
      await run('tc', [...inside, 'qdisc', 'add', 'dev', 'eth0', ...shape]);
      const on = (command: string[]) => ['ip', 'netns', 'exec', name, ...command];
      const sent = async () =>
        Number(
          (await run('ip', [...inside, '-j', '-s', 'link', 'show', 'eth0'])).stdout.match(/"tx":\{"bytes":(\d+)/)?.[1],
        );
      hosts.push({ name: `h${index}`, address, on, sent });
    }
    return { hosts, close };
  } catch (error) {
    await close();
    throw error;
  }
}
