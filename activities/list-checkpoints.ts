/** What this node could give to a restore: sealed shards whose files have their sizes. */
import type { CheckpointHeld, NodeActivities } from '../workflows/contract.js';
import { LITTLE, NEWER } from '../workflows/checkpoints.js';
import type { SeriesIdentity } from '../workflows/series-identity.js';
import { heldShard, iterationsIn, shardsIn } from './checkpoint-files.js';
import { failure } from './failures.js';
import type { NodeDeps } from './node-deps.js';
import { step } from './step.js';

export const createListCheckpoints =
  ({ name: node, dataDir }: NodeDeps): NodeActivities['listCheckpoints'] =>
  ({ dir, keep }) =>
    step({ node, name: `list ${dir}` }, () => checkpointsIn(dataDir, dir, keep));

/** What the server takes as one answer is 2 MiB, and would say nothing of what is too much. */
const LARGEST_ANSWER = 1_900_000;

/** @param keep how many complete ones are to stay: so many, and what is newer, are told in any case; absent: all are */
export async function checkpointsIn(
  dataDir: string,
  dir: string,
  keep?: number,
  little = LITTLE,
): Promise<CheckpointHeld[]> {
  const found: (Pick<CheckpointHeld, 'iteration' | 'shards'> & { identity?: SeriesIdentity | undefined })[] = [];
  let bytes = 0;
  for (const iteration of (await iterationsIn(dataDir, dir)).reverse()) {
    if (keep !== undefined && found.length >= keep + NEWER && bytes > little) break;
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
    if (shards.length === 0) continue;
    found.push({ iteration, shards, identity: newest?.identity });
    bytes += JSON.stringify(shards).length;
  }
  for (;;) {
    const told = new Map<string, number>();
    const answer = [...found]
      .reverse()
      .map(({ iteration, shards, identity }) => ({ iteration, shards, ...tell(identity, iteration, told) }));
    const size = Buffer.byteLength(JSON.stringify(answer));
    if (size <= LARGEST_ANSWER) return answer;
    if (found.length === 1)
      throw failure(
        'InvalidInput',
        `the list of the shards of one checkpoint below ${dir} takes ${size} bytes, and a run takes in ${LARGEST_ANSWER} at most`,
        { nonRetryable: true, details: { dir, size } },
      );
    // The oldest are asked for last, and found when the newer ones are gone.
    found.length = Math.max(1, Math.floor((found.length * LARGEST_ANSWER) / size));
  }
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
