/**
 * What `train_fsdp2.py` is given: a file of text, which it tokenises itself at every start, and the model in Hugging Face
 * format, its tokenizer included; fetched once, proven, and brought to every node.
 */
import { ApplicationFailure } from '@temporalio/workflow';
import { contentKey } from './content-key.js';
import { isSplittable } from './data-files.js';
import { placeEverywhere } from './place.js';
import type { PrepareDataInput, PreparedData } from './prepare-data.js';
import { dataOf, fetchOnFirst, listFiles, listingKey, listModel, TOKENIZER_FILES } from './sources.js';

const WEIGHTS = /^[^/]+\.safetensors(\.index\.json)?$/;

/** @throws InvalidInput where the source lists more than one file, or one that the script does not read */
export async function prepareText({ spec, nodes, timing, prove, known }: PrepareDataInput): Promise<PreparedData> {
  const warnings: string[] = [];
  const note = async (text: string) => void warnings.push(text);
  const wanted = (path: string) =>
    TOKENIZER_FILES.test(path) || (spec.model.init === 'pretrained' && WEIGHTS.test(path));
  const [ofModel, listed] = await Promise.all([
    listModel(spec, spec.model.weights!, nodes, timing, wanted),
    listFiles(spec, spec.dataset.source, nodes, timing, () => true),
  ]);
  const ofText = dataOf(spec, listed);
  const path = onlyFile(
    spec.dataset.source,
    ofText.files.map((file) => file.path),
  );
  const place = (dir: string, listing: typeof listed) =>
    placeEverywhere(dir, nodes, timing, () => fetchOnFirst(spec, listing, dir, nodes, timing), { prove, note });
  const model = await place(known?.tokenizer.dir ?? `models/${contentKey(ofModel)}/hf`, ofModel);
  const text = await place(known?.dataset.dir ?? `datasets/${contentKey(['text', ofText])}`, ofText);
  const { artifact } = text;
  return {
    ...{ tokenizer: model.artifact, dataset: artifact, prefix: known?.prefix ?? `${artifact.dir}/${path}` },
    ...{ pair: artifact.digest.slice(0, 12), listing: known?.listing ?? listingKey(ofText) },
    ...(warnings.length > 0 && { warnings }),
  };
}

/** Of several it takes the order in which a disk lists them, which differs from node to node. */
export function onlyFile(source: string, paths: string[]): string {
  const [path, ...others] = paths;
  if (path !== undefined && others.length === 0 && isSplittable(path)) return path;
  const why =
    others.length > 0
      ? `it lists ${paths.length}, which train_fsdp2.py reads in the order in which each node's disk has them`
      : `train_fsdp2.py does not read ${path}, which is compressed`;
  throw ApplicationFailure.nonRetryable(
    `dataset.source ${source}: expected one file of text with train.backend "fsdp2": ${why}`,
    'InvalidInput',
  );
}
