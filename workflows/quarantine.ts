/** Nodes whose hardware failed are kept from runs: for an hour at first, then until a person has seen to them. Pure. */
import type { HardwareFault, Soaked } from './messages.js';
import { noteHistory, type PoolState } from './roster.js';

export interface Quarantine {
  since: number;
  reason: string;
  /** Absent where somebody has to lift it. */
  until?: number;
}

/** Hardware that failed once may pass a reset and the checks; it is not tried again at once. */
const REST_MS = 3_600_000;
/** A fault that is older says nothing of this one. */
const FAULTS_COUNT_FOR_MS = 30 * 86_400_000;

/** A node's hardware failed: it rests, and the second time it is left to a person. A run may say so twice. */
export function noteFault({ nodes }: PoolState, { node: name, reason, at }: HardwareFault): void {
  const node = nodes.find((other) => other.name === name);
  if (!node || node.faults?.includes(at)) return;
  node.faults = [...(node.faults ?? []).filter((other) => at - other < FAULTS_COUNT_FOR_MS), at];
  node.quarantined = { since: at, reason, ...(node.faults.length === 1 && { until: at + REST_MS }) };
}

/** Gives nodes back to the pool whose rest is over. */
export function endRests({ nodes }: PoolState, now: number): void {
  for (const node of nodes) if ((node.quarantined?.until ?? Infinity) <= now) delete node.quarantined;
}

/** Iterations of one run, alone and without a failure, after which a node is believed to be sound. */
export const SOAK_STEPS = 200;

/** The run that has the node has trained on it for so long: it is given to others again. What it did before counts, should it fail again. */
export function passSoak(state: PoolState, { node: name, holder, iterations }: Soaked, at: number): void {
  const node = state.nodes.find((other) => other.name === name);
  if (!node?.quarantined || node.holder?.workflowId !== holder.workflowId || iterations < SOAK_STEPS) return;
  noteHistory(state, {
    ...{ at, node: name, what: 'taken out of quarantine', who: holder.workflowId },
    why: `${iterations} iterations alone (${node.quarantined.reason})`,
  });
  delete node.quarantined;
}

/** A person has seen to the node: what it did before is forgotten. */
export function liftQuarantine({ nodes }: PoolState, name: string): void {
  const node = nodes.find((other) => other.name === name && other.quarantined);
  delete node?.quarantined;
  delete node?.faults;
}
