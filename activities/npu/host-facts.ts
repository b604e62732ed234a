/** What the host itself must offer: ports, limits, shared memory. Reading apart from judging. */
import { readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { error, warning, type Finding } from './finding.js';

export interface HostFacts {
  /** TCP ports of the host that somebody holds. */
  ports: Set<number>;
  ephemeral: { from: number; to: number } | undefined;
  reserved: string;
  openFiles: number;
  sharedMemory: number;
}

export interface HostNeeds {
  hcclPort: number;
  nodes: number;
}

const HCCL_PORTS = 32;
/** Port of a device's own network card. */
const DEVICE_PORT = 16_666;
const GIB = 2 ** 30;

export async function readHost(root = '/'): Promise<HostFacts> {
  const text = (path: string) => readFile(join(root, path), 'utf8').catch(() => '');
  const shm = await statfs(join(root, 'dev/shm')).catch(() => undefined);
  const [tcp, tcp6, range, reserved, limits] = await Promise.all([
    ...[text('proc/net/tcp'), text('proc/net/tcp6'), text('proc/sys/net/ipv4/ip_local_port_range')],
    ...[text('proc/sys/net/ipv4/ip_local_reserved_ports'), text('proc/self/limits')],
  ]);
  const [from, to] = range!.trim().split(/\s+/).map(Number);
  return {
    ports: new Set([...portsIn(tcp!), ...portsIn(tcp6!)]),
    ephemeral: from && to ? { from, to } : undefined,
    reserved: reserved!.trim(),
    openFiles: softLimit(limits!, 'Max open files'),
    sharedMemory: shm ? shm.blocks * shm.bsize : 0,
  };
}

/** Local ports of `/proc/net/tcp`, whose numbers are hexadecimal. */
export const portsIn = (table: string): number[] =>
  [...table.matchAll(/^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) /gm)].map(([, port]) => parseInt(port!, 16));

export function softLimit(limits: string, name: string): number {
  const value = limits
    .split('\n')
    .find((line) => line.startsWith(name))
    ?.slice(name.length)
    .trim()
    .split(/\s+/)[0];
  return value === undefined || value === 'unlimited' ? Infinity : Number(value);
}

export function hostFindings(facts: HostFacts, { hcclPort, nodes }: HostNeeds): Finding[] {
  const last = hcclPort + HCCL_PORTS - 1;
  const taken = [...facts.ports].filter((port) => port >= hcclPort && port <= last).sort((a, b) => a - b);
  const findings: Finding[] = [];
  if (taken.length)
    findings.push(
      (nodes > 1 ? error : warning)({
        check: 'hccl-ports',
        what: `${ports(taken)} of HCCL's ${hcclPort}–${last} ${taken.length === 1 ? 'is' : 'are'} in use`,
        why: 'HCCL cannot listen there: EI0006 or "Address already in use"',
        remedy: `find who has it (ss -tlnp 'sport = :${taken[0]!}'), or move HCCL_IF_BASE_PORT`,
      }),
    );
  if (facts.ports.has(DEVICE_PORT))
    findings.push(
      error({
        check: 'device-port',
        what: `port ${DEVICE_PORT} is in use`,
        why: "the devices' network cards listen on it: EI0006",
        remedy: `end who has it (ss -tlnp 'sport = :${DEVICE_PORT}'): mostly the ranks of an earlier run`,
      }),
    );
  const { ephemeral } = facts;
  if (ephemeral && ephemeral.from <= last && ephemeral.to >= hcclPort && !isReserved(facts.reserved, hcclPort, last))
    findings.push(
      warning({
        check: 'reserved-ports',
        what: `HCCL's ports ${hcclPort}–${last} are in the range that the kernel gives to anybody (${ephemeral.from}–${ephemeral.to})`,
        why: 'a launch fails now and then with "Address already in use"',
        remedy: `sysctl -w net.ipv4.ip_local_reserved_ports=${hcclPort}-${last}, and keep it in /etc/sysctl.d`,
      }),
    );
  if (facts.sharedMemory < GIB)
    findings.push(
      error({
        check: 'shared-memory',
        what: `/dev/shm has ${Math.round(facts.sharedMemory / 2 ** 20)} MB`,
        why: 'data loaders and HCCL share memory there: "Bus error" or "No space left on device"',
        remedy: 'start the container with --shm-size=64g or --ipc=host',
      }),
    );
  if (facts.openFiles < 4096)
    findings.push(
      warning({
        check: 'open-files',
        what: `a process may open ${facts.openFiles} files`,
        why: 'many ranks and data files exceed that: "Too many open files"',
        remedy: 'ulimit -n 65536 where the node worker starts (systemd: LimitNOFILE)',
      }),
    );
  return findings;
}

const ports = (taken: number[]) =>
  `port${taken.length === 1 ? '' : 's'} ${taken.slice(0, 5).join(', ')}${taken.length > 5 ? ', …' : ''}`;

const isReserved = (reserved: string, from: number, to: number): boolean =>
  reserved.split(',').some((part) => {
    const [low, high = low] = part.split('-').map(Number);
    return low! <= from && high! >= to;
  });
