/**
 * Which devices of two nodes are to reach each other over their own network, and whose fault it is where they do not.
 * Pure. A device talks to those of its index on other nodes: so they are tried, and each pair of nodes once, since an
 * answer goes both ways.
 */
import type { DevicePing, FailedPing } from './contract.js';

/** A node's devices by their number on the machine; `null` where one has no address of its own. */
export interface DevicesOfNode {
  node: string;
  addresses: (string | null)[];
}

export interface NodePings {
  node: string;
  asked: DevicePing[];
  failed: FailedPing[];
}

/** Of a large gang each node tries so many of those that follow it: a wrong route, VLAN or port shows with any of them. */
const MOST_PEERS = 4;

/** What each node is to try; nodes without anything to try are left out. */
export function planPings(nodes: DevicesOfNode[]): { node: string; pings: DevicePing[] }[] {
  const reach = Math.min(MOST_PEERS, Math.floor(nodes.length / 2));
  return nodes
    .map(({ node, addresses }, at) => {
      const pings = Array.from({ length: reach }, (_, step) => step + 1)
        // Of an even ring, the node on the other side would try this one as well.
        .filter((distance) => distance * 2 < nodes.length || at < distance)
        .flatMap((distance) => {
          const peer = nodes[(at + distance) % nodes.length]!;
          return peer.addresses.flatMap((address, device) =>
            address !== null && addresses[device] != null ? [{ peer: peer.node, device, address }] : [],
          );
        });
      return { node, pings };
    })
    .filter(({ pings }) => pings.length > 0);
}

export interface PingVerdict {
  /** Reach none of those they tried, or were tried by, of which others are reached. */
  bad: { node: string; peers: string[]; failed: FailedPing }[];
  /** Nobody can tell which of the two it is. */
  links: { nodes: [string, string]; failed: FailedPing }[];
}

export function judgePings(results: NodePings[]): PingVerdict {
  const good = new Map<string, Set<string>>();
  const bad = new Map<string, Map<string, FailedPing>>();
  const links: { nodes: [string, string]; failed: FailedPing }[] = [];
  for (const { node, asked, failed } of results) {
    for (const peer of new Set(asked.map((ping) => ping.peer))) {
      const failure = failed.find((ping) => ping.peer === peer);
      if (failure) links.push({ nodes: [node, peer], failed: failure });
      for (const [a, b] of [
        [node, peer],
        [peer, node],
      ] as const) {
        if (failure) bad.set(a, (bad.get(a) ?? new Map<string, FailedPing>()).set(b, failure));
        else good.set(a, (good.get(a) ?? new Set<string>()).add(b));
      }
    }
  }
  const blamed = [...bad].flatMap(([node, peers]) =>
    !good.has(node) && [...peers.keys()].some((peer) => good.has(peer))
      ? [{ node, peers: [...peers.keys()], failed: [...peers.values()][0]! }]
      : [],
  );
  const names = new Set(blamed.map(({ node }) => node));
  return { bad: blamed, links: links.filter(({ nodes }) => !nodes.some((node) => names.has(node))) };
}
