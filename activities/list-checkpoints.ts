/** What this node could give to a restore: sealed shards whose files have their sizes. */
import type { CheckpointHeld, NodeActivities } from '../workflows/contract.js';
import type { SeriesIdentity } from '../workflows/series-identity.js';
import { heldShard, iterationsIn, shardsIn } from './checkpoint-files.js';
import type { NodeDeps } from './node-deps.js';
import { step } from './step.js';

export const createListCheckpoints =
  ({ name: node, dataDir }: NodeDeps): NodeActivities['listCheckpoints'] =>
  ({ dir }) =>
    step({ node, name: `list ${dir}` }, async () => {
      const found: CheckpointHeld[] = [];
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
        if (shards.length) found.push({ iteration, shards, ...(newest?.identity && { identity: newest.identity }) });
      }
      return found;
    });
