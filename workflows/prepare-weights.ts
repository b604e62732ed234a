/** Pretrained weights in the layout that trains: fetched and converted on one node, once for all runs that ask for the same. */
import { contentKey } from './content-key.js';
import { newestComplete, type CompleteCheckpoint } from './checkpoints.js';
import { onNode, peerOf, type NodeInfo, type Timing } from './contract.js';
import { listCheckpoints } from './restore.js';
import { onFirst } from './place.js';
import { convertArgs, convertedDir } from './plan.js';
import { fetchOnce, listFiles } from './prepare-data.js';
import type { RunSpec } from './spec.js';

const WEIGHT_FILES = /^(config\.json|generation_config\.json|.*\.safetensors|.*\.safetensors\.index\.json)$/;

export async function prepareWeights(
  spec: RunSpec,
  shards: string[],
  nodes: NodeInfo[],
  timing: Timing,
): Promise<{ dir: string; weights: CompleteCheckpoint }> {
  const listing = await listFiles(spec.model.weights!, nodes, timing, (path) => WEIGHT_FILES.test(path));
  const key = contentKey(listing);
  const dir = convertedDir(key, spec);
  const there = newestComplete(await listCheckpoints(dir, nodes, timing), shards);
  if (there) return { dir, weights: there };

  const { at, artifact } = await fetchOnce(listing, `models/${key}/hf`, nodes, timing);
  const held = await onFirst([at], (node) =>
    onNode(node.name, timing).convertCheckpoint({ from: artifact.dir, to: dir, args: convertArgs(spec), shards }),
  );
  const from = [peerOf(at)];
  // The converter's tracker always says 1.
  return {
    dir,
    weights: { iteration: 1, shards: Object.fromEntries(held.map((shard) => [shard.shard, { ...shard, from }])) },
  };
}
