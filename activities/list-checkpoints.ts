/** What this node could give to a restore: sealed shards whose files have their sizes. */
import type { CheckpointHeld, NodeActivities } from '../workflows/contract.js';
import type { SeriesIdentity } from '../workflows/series-identity.js';
import { heldShard, iterationsIn, shardsIn } from './checkpoint-files.js';
import type { NodeDeps } from './node-deps.js';
import { step } from './step.js';

export const createListCheckpoints =
  ({ name: node, dataDir }: NodeDeps): NodeActivities['listCheckpoints'] =>
  ({ dir }) =>
    step({ node, name: `list ${dir}` }, () => checkpointsIn(dataDir, dir));

export async function checkpointsIn(dataDir: string, dir: string): Promise<CheckpointHeld[]> {
  const found: CheckpointHeld[] = [];
  const told = new Map<string, number>();
  for (const iteration of await iterationsIn(dataDir, dir)) {
    const shards: CheckpointHeld['shards'] = [];
    let newest: { token: number; identity?: SeriesIdentity | undefined } | undefined;
    for (const shard of await shardsIn(dataDir, dir, iteration)) {
      const held = await heldShard(dataDir, dir, iteration, shard);
      if (!held) continue;
      const { identity, ...rest } = held;
      shards.push(rest);
      const { token = 0 } = held;
      if (!newest || token > newest.token) newest = { token, identity };
    }
    if (shards.length) found.push({ iteration, shards, ...tell(newest?.identity, iteration, told) });
  }
  return found;
}

/** Each once, by the first iteration that has it. */
function tell(
  identity: SeriesIdentity | undefined,
  iteration: number,
  told: Map<string, number>,
): Pick<CheckpointHeld, 'identity' | 'identityAs'> {
  if (!identity) return {};
  const key = JSON.stringify(identity);
  const before = told.get(key);
  if (before !== undefined) return { identityAs: before };
  told.set(key, iteration);
  return { identity };
}
