/** What a series needs no more is removed wherever it lies: before a launch, and when a run has come to its end. */
import { isCancellation, log } from '@temporalio/workflow';
import { backendOf } from './backends.js';
import type { NodeListing } from './checkpoints.js';
import { onNode, type CheckpointsRemoved } from './contract.js';
import { messageOf } from './failure-chain.js';
import type { Groups } from './islands.js';
import { completeOf, expendable, retention, type Complete, type KeepRule } from './retention.js';
import type { RunSpec } from './spec.js';
import type { RunState } from './status.js';
import type { NodeSaves } from './unsealed.js';

export interface Removal {
  spec: RunSpec;
  /** Checkpoints that are known to be complete. */
  complete: Complete[];
  /** Tells a person what is not removed: it is in nobody's way but the disk's. */
  note: (text: string) => void;
  onAside: (node: string, aside: CheckpointsRemoved['aside']) => void;
}

export const keepRule = ({ train: { keepCheckpoints: keep, keepEvery: every } }: RunSpec): KeepRule => ({
  keep,
  ...(every !== undefined && { every }),
});

/**
 * Checkpoints that are complete on these nodes, up to the one that training goes on from.
 *
 * @param groups the run's nodes by the storage of their checkpoints, where only some share it
 */
export function completeUpTo(spec: RunSpec, listings: NodeListing[], iteration: number, groups?: Groups): Complete[] {
  const { train, cluster } = spec;
  const storages = groups?.length ?? cluster.nodes + cluster.spares;
  const copies = Math.min(train.replicas, storages - 1) + 1;
  return completeOf(listings, backendOf(spec).shards(spec), copies, groups).filter((one) => one.iteration <= iteration);
}

/** Before a launch: from the nodes that were found to have something of no use. Others are not asked for nothing. */
export async function removeListed(removal: Removal, listings: NodeSaves[]): Promise<void> {
  const kept = retention(removal.complete, keepRule(removal.spec));
  const having = listings.filter(({ checkpoints, saves }) => {
    const held = [...checkpoints.map(({ iteration }) => iteration), ...(saves?.iterations ?? [])];
    return expendable(held, kept).length > 0;
  });
  await removeFrom(
    removal,
    having.map(({ peer }) => peer.name),
  );
}

/** Never throws for what is not removed, nor for a node that does not answer. */
export async function removeFrom({ spec, complete, note, onAside }: Removal, nodes: string[]): Promise<void> {
  const kept = retention(complete, keepRule(spec));
  if (kept.before === 0) return;
  const failed: string[] = [];
  const ask = async (node: string) => {
    try {
      const asked = onNode(node, spec.recovery).removeCheckpoints({ series: spec.series, retention: kept });
      const { failed: left, aside } = await asked;
      onAside(node, aside);
      if (left) failed.push(`${node}: ${left.join('; ')}`);
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('old checkpoints were not removed', { node, error: String(error) });
      failed.push(messageOf(error));
    }
  };
  await Promise.all(nodes.map(ask));
  if (failed.length === 0) return;
  const more = failed.length > 2 ? ` (and on ${failed.length - 2} more)` : '';
  note(`series ${spec.series}: old checkpoints are not removed: ${failed.slice(0, 2).join('; ')}${more}`);
}

/** On the run's page: what is set aside nobody removes but a person. */
export function noteAside(state: RunState, node: string, aside: CheckpointsRemoved['aside']): void {
  const { [node]: _, ...others } = state.aside ?? {};
  state.aside = { ...others, ...(aside && { [node]: aside }) };
  if (Object.keys(state.aside).length === 0) delete state.aside;
}
