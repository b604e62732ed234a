/** Where nodes are by now: a worker that was away may have come back on another port. */
import { onProbe, peerOf, type NodeInfo, type Peer } from './contract.js';
import { infoOf } from './roster.js';

/** @param nodes as they were at the launch: what opens their files to the run stays as it was then */
export function createAddresses(nodes: NodeInfo[]) {
  const known = new Map(nodes.map((node) => [node.name, node]));
  const asking = new Map<string, Promise<void>>();

  /** Once for all who want to know at the same time. One that does not answer keeps the address that it had. */
  function ask(name: string): Promise<void> {
    const before = known.get(name);
    if (!before) return Promise.resolve();
    const under = asking.get(name);
    if (under) return under;
    const asked = onProbe(name)
      .pingNode()
      .then(
        (answer) =>
          void known.set(name, { ...infoOf(answer), ...(before.access !== undefined && { access: before.access }) }),
        () => undefined,
      )
      .finally(() => asking.delete(name));
    asking.set(name, asked);
    return asked;
  }

  return {
    add: (node: NodeInfo): void => void known.set(node.name, node),
    refresh: async (names: string[]): Promise<void> => void (await Promise.all([...new Set(names)].map(ask))),
    of: (peer: Peer): Peer => {
      const node = known.get(peer.name);
      return node ? peerOf(node) : peer;
    },
  };
}
