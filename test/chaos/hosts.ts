/** A simulated host as the program handles it: where its data is, how to run something on it, how to hurt it. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { killAllIn, namespaceOf, pidsIn, portOf } from './namespaces.js';

const run = promisify(execFile);

export interface Host {
  name: string;
  address: string;
  /** The host's data directory as this program sees it; on the host it is `DATA`. */
  data: string;
  /** The command line that runs a command on this host. */
  on(command: string[]): string[];
  /** Ids of all processes of the host. */
  pids(): Promise<number[]>;
  /** Kills every process of the host, as a power cut would. */
  killAll(): Promise<void>;
  link(state: 'up' | 'down'): Promise<void>;
  /** What the switch drops of this host's packets, in both directions, from now on: with nothing named, none. */
  drop(what: Dropped): Promise<void>;
}

export interface Dropped {
  /** Of all packets, from 0 to 1. */
  share?: number;
  /** All packets from and to these addresses. */
  peers?: string[];
}

/** Where a host finds its own data: the same path on each, and none sees another's. */
export const DATA = '/srv';
/** Room on a host's disk. */
const DISK = '1g';

/** Gives a host its disk. The mount is gone with the last process of this program's mount namespace. */
export async function openHost(prefix: string, dir: string, place: { name: string; address: string }): Promise<Host> {
  const namespace = namespaceOf(prefix, place.name);
  const port = portOf(place.name);
  const disks = join(dir, 'hosts');
  const data = join(disks, place.name);
  await mkdir(data, { recursive: true });
  await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK}`, 'tmpfs', data]);
  const enter = `mount --bind "$0" ${DATA} && mount -t tmpfs -o ro tmpfs ${disks} && exec "$@"`;
  return {
    ...place,
    data,
    on: (command) => ['ip', 'netns', 'exec', namespace, 'sh', '-c', enter, data, ...command],
    pids: () => pidsIn(namespace),
    killAll: () => killAllIn(namespace),
    link: async (state) => void (await run('ip', ['link', 'set', port, state])),
    async drop({ share = 0, peers = [] }) {
      for (const [direction, offset] of DIRECTIONS) {
        await run('tc', ['filter', 'del', 'dev', port, direction]);
        const code = dropCode(offset, share, peers);
        if (code) await run('tc', ['filter', 'add', 'dev', port, direction, 'bpf', 'da', 'bytecode', code]);
      }
    },
  };
}

/** Where the other side's address is in an Ethernet frame that comes from the host, or goes to it. */
const DIRECTIONS = [
  ['ingress', 30],
  ['egress', 26],
] as const;
/** Operations of classic BPF, the place of a random word, and the verdicts of tc. */
const [LOAD, IF_EQUAL, IF_GREATER, RETURN] = [32, 21, 37, 6] as const;
const RANDOM_WORD = 0xfffff038;
const [DROP, PASS] = [2, 0xffffffff] as const;

/** Classic BPF, since a kernel may come without netem: drops a share of all packets, and all of some addresses. */
export function dropCode(addressAt: number, share: number, peers: string[]): string | undefined {
  if (share === 0 && peers.length === 0) return undefined;
  const code: number[][] = [];
  if (share > 0)
    code.push([LOAD, 0, 0, RANDOM_WORD], [IF_GREATER, 1, 0, Math.round(share * 0xffffffff)], [RETURN, 0, 0, DROP]);
  if (peers.length > 0) code.push([LOAD, 0, 0, addressAt]);
  for (const peer of peers) code.push([IF_EQUAL, 0, 1, numberOf(peer)], [RETURN, 0, 0, DROP]);
  code.push([RETURN, 0, 0, PASS]);
  return [code.length, ...code.map((line) => line.join(' '))].join(',');
}

const numberOf = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
