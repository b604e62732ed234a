/** Pretrained weights in the layout that trains: fetched and converted on one node, once for all runs that ask for the same. */
import { contentKey } from './content-key.js';
import { newestComplete, type CompleteCheckpoint } from './checkpoints.js';
import { onNode, peerOf, type NodeInfo, type SourceListing, type Timing } from './contract.js';
import { messageOf } from './failure-chain.js';
import { damagedShard, listCheckpoints } from './restore.js';
import { damagedDir, setAsideDamaged, type Note } from './set-aside.js';
import { onFirst, placeEverywhere, type PlaceOptions } from './place.js';
import { convertedDir, toMegatron } from './convert-command.js';
import { saidOf } from './hugging-face.js';
import { releases } from './releases.js';
import { fetchOnFirst, listModel } from './sources.js';
import type { RunSpec } from './spec.js';

const WEIGHT_FILES = /^(config\.json|generation_config\.json|.*\.safetensors|.*\.safetensors\.index\.json)$/;
/** The first converter opens the tokenizer as well. */
const TOKENIZER_FILE = /^tokenizer(_config)?\.json$/;

const isLegacy = ({ mindspeed }: RunSpec): boolean => releases[mindspeed.release].converter.version === 1;

export interface WeightsNeeded {
  spec: RunSpec;
  /** Every shard of the layout. */
  shards: string[];
  nodes: NodeInfo[];
  timing: Timing;
  note: Note;
}

/**
 * What is damaged on every node that has it, or on the one that converts, is made again, once.
 *
 * @param load brings the weights in `dir` to where they are loaded
 * @returns `dir`
 */
export async function bringWeights(
  needed: WeightsNeeded,
  load: (dir: string, weights: CompleteCheckpoint) => Promise<void>,
): Promise<string> {
  const { spec, nodes, timing, note } = needed;
  const listing = await listWeights(spec, nodes, timing);
  const key = contentKey(listing);
  const dir = convertedDir(key, spec);
  const bring = async () => load(dir, await converted(needed, listing, { dir, from: publishedDir(key) }));
  try {
    await bring();
  } catch (error) {
    const isDamaged = damagedShard(error) !== undefined;
    if (!isDamaged || !(await setAsideDamaged(dir, nodes, timing, { again: 'converted', note }))) throw error;
    await bring();
  }
  return dir;
}

/**
 * Published weights on every node, as the trainer is to convert them.
 *
 * @returns their directory
 */
export async function bringPublished(
  { spec, nodes, timing, note }: Omit<WeightsNeeded, 'shards'>,
  options: Omit<PlaceOptions, 'note'>,
): Promise<string> {
  const listing = await listWeights(spec, nodes, timing);
  const dir = publishedDir(contentKey(listing));
  const fetch = () => fetchOnFirst(spec, listing, dir, nodes, timing);
  await placeEverywhere(dir, nodes, timing, fetch, { ...options, note });
  return dir;
}

const publishedDir = (key: string): string => `models/${key}/hf`;

const listWeights = (spec: RunSpec, nodes: NodeInfo[], timing: Timing): Promise<SourceListing> =>
  listModel(
    spec,
    spec.model.weights!,
    nodes,
    timing,
    (path) => WEIGHT_FILES.test(path) || (isLegacy(spec) && TOKENIZER_FILE.test(path)),
  );

/** Where nodes have them, or made on one of them. */
async function converted(
  { spec, shards, nodes, timing, note }: WeightsNeeded,
  listing: SourceListing,
  { dir, from }: { dir: string; from: string },
): Promise<CompleteCheckpoint> {
  const there = newestComplete(await listCheckpoints(dir, nodes, timing, 1), shards);
  if (there) return there;

  const fetchAndConvert = async (on: NodeInfo[]) => {
    const { at, artifact } = await fetchOnFirst(spec, listing, from, on, timing);
    try {
      const held = await onFirst([at], (node) =>
        onNode(node.name, timing).convertCheckpoint({
          ...{ ...toMegatron(spec, artifact.dir), to: dir, shards },
          holds: { sizes: spec.sizes, parallel: spec.parallel, named: !isLegacy(spec), said: saidOf(spec) },
        }),
      );
      return { at, held };
    } catch (error) {
      if (damagedDir(error) !== from) throw error;
      return { at, error };
    }
  };
  let made = await fetchAndConvert(nodes);
  if ('error' in made) {
    await note(`weights: ${messageOf(made.error)}; they are fetched and converted anew`);
    made = await fetchAndConvert([made.at]);
    if ('error' in made) throw made.error;
  }
  const peers = [peerOf(made.at)];
  // The converter's tracker always says 1.
  const shardsOf = made.held.map((shard) => [shard.shard, { ...shard, from: peers }] as const);
  return { iteration: 1, shards: Object.fromEntries(shardsOf) };
}
