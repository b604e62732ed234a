/** Who is left of the nodes that make something together, once it was not to be had from one of them. */
import { isThere, onNode, type NodeInfo, type Timing } from './contract.js';
import { lostNode, silentHolders } from './failure-chain.js';

/** Each is asked once. */
export const stillThere = (nodes: NodeInfo[], timing: Timing): Promise<NodeInfo[]> =>
  those(nodes, ({ name }) =>
    onNode(name, timing)
      .pingNode()
      .then(() => true)
      .catch((error: unknown) => !lostNode(error)),
  );

/** What an error leaves to be asked of a node: one that it calls lost was asked, and one that was silent may be away. */
export function toAsk(error: unknown, name: string): 'nothing' | 'patiently' | 'once' {
  if (lostNode(error) === name) return 'nothing';
  return silentHolders(error)?.includes(name) ? 'patiently' : 'once';
}

/** Whoever a step of one of them lost, or whose part of it nobody gave, is told by its error. */
export const leftAfter = (error: unknown, nodes: NodeInfo[], timing: Timing): Promise<NodeInfo[]> =>
  those(nodes, async (node) => {
    const ask = toAsk(error, node.name);
    if (ask === 'once') return (await stillThere([node], timing)).length > 0;
    return ask === 'patiently' && isThere(node.name, timing);
  });

async function those(nodes: NodeInfo[], isOne: (node: NodeInfo) => Promise<boolean>): Promise<NodeInfo[]> {
  const answers = await Promise.all(nodes.map(isOne));
  return nodes.filter((_, index) => answers[index]);
}
