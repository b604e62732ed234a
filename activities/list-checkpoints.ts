/** What this node could give to a restore: sealed shards whose files have their sizes. */
import type { CheckpointHeld, NodeActivities } from '../workflows/contract.js';
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
        for (const shard of await shardsIn(dataDir, dir, iteration)) {
          const held = await heldShard(dataDir, dir, iteration, shard);
          if (held) shards.push(held);
        }
        if (shards.length) found.push({ iteration, shards });
      }
      return found;
    });
