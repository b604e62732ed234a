/** Pretrained weights in the layout that trains: fetched and converted on one node, once for all runs that ask for the same. */
import { contentKey } from './content-key.js';
import { newestComplete, type CompleteCheckpoint } from './checkpoints.js';
import { onNode, peerOf, type NodeInfo, type Timing } from './contract.js';
import { listCheckpoints } from './restore.js';
import { onFirst } from './place.js';
import { convertedDir, toMegatron } from './convert-command.js';
import { fetchOnFirst, listFiles } from './prepare-data.js';
import { saidOf } from './hugging-face.js';
import { releases } from './releases.js';
import type { RunSpec } from './spec.js';

const WEIGHT_FILES = /^(config\.json|generation_config\.json|.*\.safetensors|.*\.safetensors\.index\.json)$/;
/** The first converter opens the tokenizer as well. */
const TOKENIZER_FILE = /^tokenizer(_config)?\.json$/;

export async function prepareWeights(
  spec: RunSpec,
  shards: string[],
  nodes: NodeInfo[],
  timing: Timing,
): Promise<{ dir: string; weights: CompleteCheckpoint }> {
  const legacy = releases[spec.mindspeed.release].converter.version === 1;
  const wanted = (path: string) => WEIGHT_FILES.test(path) || (legacy && TOKENIZER_FILE.test(path));
  const listing = await listFiles(spec, spec.model.weights!, nodes, timing, wanted);
  const key = contentKey(listing);
  const dir = convertedDir(key, spec);
  const there = newestComplete(await listCheckpoints(dir, nodes, timing), shards);
  if (there) return { dir, weights: there };

  const { at, artifact } = await fetchOnFirst(spec, listing, `models/${key}/hf`, nodes, timing);
  const held = await onFirst([at], (node) =>
    onNode(node.name, timing).convertCheckpoint({
      ...{ ...toMegatron(spec, artifact.dir), to: dir, shards },
      holds: { sizes: spec.sizes, parallel: spec.parallel, named: !legacy, said: saidOf(spec) },
    }),
  );
  const from = [peerOf(at)];
  // The converter's tracker always says 1.
  return {
    dir,
    weights: { iteration: 1, shards: Object.fromEntries(held.map((shard) => [shard.shard, { ...shard, from }])) },
  };
}
