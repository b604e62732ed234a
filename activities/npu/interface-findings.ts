/**
 * Which interfaces of the host HCCL and gloo take, by the variables that name them. Pure. HCCL takes a name for a prefix,
 * with `=` for a name, with `^` for what it is not to take, and of several the first; gloo takes names alone (CANN's
 * description of HCCL_SOCKET_IFNAME, torch's of GLOO_SOCKET_IFNAME).
 */
import { error, warning, type Finding } from './finding.js';

export interface HostInterfaces {
  /** Addresses by name of the interface; those that are down have none, and are not in it. */
  interfaces: Record<string, string[]>;
  /** Where other nodes reach this one. */
  address: string;
  env: Record<string, string>;
  nodes: number;
}

const GLOO = 'GLOO_SOCKET_IFNAME';
const HCCL = 'HCCL_SOCKET_IFNAME';
const UNSET = 'unset it where the node worker starts: it is then the interface that has PRETRAIN_ADDRESS';

export function interfaceFindings({ interfaces, address, env, nodes }: HostInterfaces): Finding[] {
  const names = Object.keys(interfaces);
  const { [GLOO]: gloo, [HCCL]: hccl, HCCL_IF_IP: ip } = env;
  const there = `there ${names.length === 1 ? 'is' : 'are'} ${names.join(', ')}`;
  const grave = nodes > 1 ? error : warning;
  const findings: Finding[] = [];
  const unknown = gloo?.split(',').filter((name) => !names.includes(name));
  if (unknown?.length)
    findings.push(
      error({
        check: 'gloo-interface',
        what: `${GLOO} is "${gloo}", and ${there}`,
        why: 'gloo takes names as they are, without the signs that HCCL knows: ranks end as they find each other',
        remedy: UNSET,
      }),
    );
  const taken = hccl === undefined ? [] : takenBy(hccl, names);
  if (hccl !== undefined && taken.length === 0 && ip === undefined)
    findings.push(
      grave({
        check: 'hccl-interface',
        what: `${HCCL} is "${hccl}", and ${there}`,
        why: 'HCCL finds no interface of the host: EI0006',
        remedy: UNSET,
      }),
    );
  if (hccl !== undefined && taken.length > 1 && ip === undefined)
    findings.push(
      warning({
        check: 'hccl-interface',
        what: `${HCCL} is "${hccl}", which ${taken.join(', ')} are`,
        why: 'without "=" it is a prefix: HCCL takes the first, which may be another network on each node',
        remedy: `name one, as "=${taken[0]!}"`,
      }),
    );
  const unset = [...(gloo === undefined ? [GLOO] : []), ...(hccl === undefined && ip === undefined ? [HCCL] : [])];
  if (unset.length > 0 && nodes > 1)
    findings.push(
      warning({
        check: 'host-interface',
        what: `${unset.join(' and ')} ${unset.length === 1 ? 'is' : 'are'} not set, since ${address} is on no interface (${there})`,
        why: 'the first by name is taken then, which may be another network on each node',
        remedy: 'set PRETRAIN_ADDRESS to an address of this machine, or name the interface in both',
      }),
    );
  return findings;
}

/** Names that a value of HCCL's variable takes, in order. */
export function takenBy(value: string, names: string[]): string[] {
  const excludes = value.startsWith('^');
  const isExact = value.slice(excludes ? 1 : 0).startsWith('=');
  const wanted = value.replace(/^\^?=?/, '').split(',');
  const isMeant = (name: string) => wanted.some((one) => (isExact ? name === one : name.startsWith(one)));
  if (excludes) return names.filter((name) => !isMeant(name));
  return wanted.flatMap((one) => names.filter((name) => (isExact ? name === one : name.startsWith(one))));
}
