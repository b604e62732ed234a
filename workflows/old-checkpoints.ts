/** What a series needs no more is removed wherever it lies: before a launch, and when a run has come to its end. */
import { isCancellation, log } from '@temporalio/workflow';
import type { NodeListing } from './checkpoints.js';
import { onNode, type NodeInfo } from './contract.js';
import { messageOf } from './failure-chain.js';
import { completeOf, expendable, retention, type KeepRule } from './retention.js';
import { note, type Run } from './run-generation.js';
import type { RunSpec } from './spec.js';
import { allShards } from './topology.js';
import type { NodeSaves } from './unsealed.js';

export const keepRule = ({ train: { keepCheckpoints: keep, keepEvery: every } }: RunSpec): KeepRule => ({
  keep,
  ...(every !== undefined && { every }),
});

/** Notes which checkpoints are complete, up to the one that training goes on from. */
export function noteComplete(run: Run, listings: NodeListing[], upTo: number): void {
  const { parallel, train, cluster } = run.spec;
  const copies = Math.min(train.replicas, cluster.nodes + cluster.spares - 1) + 1;
  const shards = allShards(parallel, cluster.nodes * cluster.devicesPerNode);
  run.complete = completeOf(listings, shards, copies).filter(({ iteration }) => iteration <= upTo);
}

/** Before a launch: the nodes that were found to have something of no use. Others are not asked for nothing. */
export async function removeListed(run: Run, listings: NodeSaves[]): Promise<void> {
  const kept = retention(run.complete, keepRule(run.spec));
  const having = listings.filter(({ checkpoints, saves }) => {
    const held = [...checkpoints.map(({ iteration }) => iteration), ...(saves?.iterations ?? [])];
    return expendable(held, kept).length > 0;
  });
  await removeOn(
    run,
    having.map(({ peer }) => peer.name),
  );
}

/** At the end: the run's own nodes, and those that served the series before. */
export const removeEverywhere = (run: Run): Promise<void> => {
  const { crew, empty } = run;
  const served = crew.keepers.filter(({ name }) => !empty.has(name));
  return removeOn(run, [...new Set([...crew.members, ...crew.spares, ...served].map(({ name }: NodeInfo) => name))]);
};

/** What is not removed is a warning: it is in nobody's way but the disk's. */
async function removeOn(run: Run, nodes: string[]): Promise<void> {
  const { spec, state } = run;
  const kept = retention(run.complete, keepRule(spec));
  if (kept.before === 0) return;
  const input = { series: spec.series, retention: kept };
  const failed: string[] = [];
  const ask = async (node: string) => {
    try {
      const { failed: left, aside } = await onNode(node, spec.recovery).removeCheckpoints(input);
      noteAside(run, node, aside);
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
  note(run, `series ${state.series}: old checkpoints are not removed: ${failed.slice(0, 2).join('; ')}${more}`);
}

/** On the run's page: what is set aside nobody removes but a person. */
export function noteAside(
  { state }: Pick<Run, 'state'>,
  node: string,
  aside: { iterations: number[]; bytes: number } | undefined,
): void {
  const { [node]: _, ...others } = state.aside ?? {};
  state.aside = { ...others, ...(aside && { [node]: aside }) };
  if (Object.keys(state.aside).length === 0) delete state.aside;
}
