/** What nodes can say of each other past the server: whose machine is there, and whom nobody reaches. */
import { onProbe, peerOf, type NodeInfo } from './contract.js';

/** How many other nodes are asked about one. */
const WITNESSES = 5;

/**
 * What others see of a node. `unknown` when they do not answer themselves: then it is the server, or the way to it,
 * that is away.
 */
export async function lookAt(node: NodeInfo, all: NodeInfo[]): Promise<'up' | 'gone' | 'unknown'> {
  const others = all.filter(({ name }) => name !== node.name).slice(0, WITNESSES);
  const seen = await Promise.all(
    others.map(({ name }) =>
      onProbe(name)
        .probePeer({ peer: peerOf(node) })
        .then(({ reachable }) => reachable)
        .catch(() => undefined),
    ),
  );
  if (seen.every((answer) => answer === undefined)) return 'unknown';
  return seen.some((answer) => answer) ? 'up' : 'gone';
}

/** Members that no other node reaches, though the server may; none where that holds for all, and nobody can tell who is cut off. */
export async function cutOff(members: NodeInfo[], all: NodeInfo[]): Promise<string[]> {
  const states = await Promise.all(members.map((node) => lookAt(node, all)));
  const gone = members.filter((_, index) => states[index] === 'gone').map(({ name }) => name);
  return gone.length === members.length ? [] : gone;
}
