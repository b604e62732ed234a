/** Getting a file set to where it is needed: made once, found where it is, copied from whoever has it. */
import { ApplicationFailure } from '@temporalio/workflow';
import { onNode, peerOf, type Artifact, type NodeInfo, type Timing } from './contract.js';
import { lostNode } from './failure-chain.js';

export interface Placed {
  artifact: Artifact;
  /** Nodes that hold what it was made of as well: those that were found to, or all where it was made just now. */
  withParts: NodeInfo[];
}

/**
 * Brings the artifact in `dir` to all nodes. `make` runs only if no node has it; it is given the nodes in order
 * of preference and says which node made it. With `prove`, nodes read again what they have not read for a day.
 */
export async function placeEverywhere(
  dir: string,
  nodes: NodeInfo[],
  timing: Timing,
  make: () => Promise<{ artifact: Artifact; at: NodeInfo }>,
  prove = false,
): Promise<Placed> {
  const wanted = { dir, ...(prove && { prove }) };
  const found = await Promise.all(
    nodes.map(async (node) => ({ node, ...(await onNode(node.name, timing).findArtifact(wanted)) })),
  );
  const there = found.find(({ artifact }) => artifact);
  const first = there ? { at: there.node, artifact: there.artifact! } : await make();
  const { artifact } = first;
  const holders = found.filter((f) => f.artifact?.digest === artifact.digest).map(({ node }) => node);
  const from = (holders.length ? holders : [first.at]).map(peerOf);
  const others = nodes.filter(({ name }) => !from.some((peer) => peer.name === name));
  const beside = others.map(peerOf);
  await Promise.all(others.map((node) => onNode(node.name, timing).syncFiles({ artifact, from, beside })));
  return { artifact, withParts: there ? found.filter(({ parts }) => parts).map(({ node }) => node) : nodes };
}

/**
 * Runs a step on the first of the nodes that answers; only a lost node passes it on to the next. Steps that share
 * `lost` ask a node that another has found lost after all others, since each would wait for it as long.
 */
export async function onFirst<T>(
  nodes: NodeInfo[],
  step: (node: NodeInfo) => Promise<T>,
  lost = new Set<string>(),
): Promise<T> {
  const isLost = ({ name }: NodeInfo) => lost.has(name);
  const order = [...nodes.filter((node) => !isLost(node)), ...nodes.filter(isLost)];
  for (const [index, node] of order.entries()) {
    try {
      return await step(node);
    } catch (error) {
      if (!lostNode(error) || index === order.length - 1) throw error;
      lost.add(node.name);
    }
  }
  throw ApplicationFailure.nonRetryable('no node to run a step on', 'OutOfNodes');
}
