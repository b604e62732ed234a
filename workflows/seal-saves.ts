/** Before a launch: what earlier ones saved, whole, and nobody sealed becomes a checkpoint like others. */
import { isCancellation, log } from '@temporalio/workflow';
import { newestComplete } from './checkpoints.js';
import { onNode, type Timing } from './contract.js';
import { lostNode, messageOf } from './failure-chain.js';
import { checkpointsDir } from './plan.js';
import { sealable, type NodeSaves } from './unsealed.js';

export interface Sealing {
  series: string;
  shards: string[];
  timing: Timing;
  /** Nodes of the run: one of them that is lost is to be replaced. Of others there is just less. */
  own: Set<string>;
  note: (text: string) => Promise<void>;
  /** As of `listCheckpoints`. */
  keep: number;
}

export const findSaves = (listings: NodeSaves[], sealing: Sealing): Promise<NodeSaves[]> =>
  Promise.all(
    listings.map(async (listing) => {
      const { name } = listing.peer;
      const ask = () => onNode(name, sealing.timing).findSaves({ series: sealing.series });
      return { ...listing, saves: (await orLess(sealing, name, ask)) ?? { iterations: [] } };
    }),
  );

/** @returns what the nodes hold then */
export async function sealLeft(found: NodeSaves[], sealing: Sealing): Promise<NodeSaves[]> {
  const { series, shards, timing, keep } = sealing;
  let now = found;
  for (const { iteration, token, nodes, dumped } of sealable(found, shards)) {
    await Promise.all(
      nodes.map((name) => {
        const input = { series, token, iteration, ...(dumped && { dumped: dumped[name]! }) };
        return orLess(sealing, name, () => onNode(name, timing).sealSaves(input));
      }),
    );
    now = await Promise.all(
      now.map(async (node) => {
        const { name } = node.peer;
        if (!nodes.includes(name)) return node;
        const list = () => onNode(name, timing).listCheckpoints({ dir: checkpointsDir(series), keep });
        return { ...node, checkpoints: (await orLess(sealing, name, list)) ?? node.checkpoints };
      }),
    );
    if ((newestComplete(now, shards)?.iteration ?? 0) < iteration) continue;
    await sealing.note(`iteration ${iteration} was saved, and is sealed only now on ${nodes.join(', ')}`);
    break;
  }
  return now;
}

/** Nothing of a node that is none of the run's, and does not answer. */
export async function orLess<T>({ own, note }: Sealing, node: string, ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (isCancellation(error) || (lostNode(error) !== undefined && own.has(node))) throw error;
    log.warn('saves that nobody has sealed are left', { node, error: String(error) });
    await note(`what ${node} has not sealed is not used: ${messageOf(error)}`);
    return undefined;
  }
}
