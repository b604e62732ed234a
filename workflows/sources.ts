/** What a run's addresses list, and the fetching of it on one node. */
import { ApplicationFailure, log, patched } from '@temporalio/workflow';
import { bytewise } from './byte-order.js';
import { contentKey } from './content-key.js';
import { onNode, type NodeInfo, type SourceFile, type SourceListing, type Timing } from './contract.js';
import { chooseDataFiles, isSplittable } from './data-files.js';
import { namedFrom, renamed } from './model-files.js';
import { onFirst } from './place.js';
import type { RunSpec } from './spec.js';

/** A dataset's name stands for the order of its files, so that an execution keeps to the one it began with. */
const BYTE_ORDER = 'files are in the order of the bytes of their names';

/** Of a model's directory, all but the weights. */
export const TOKENIZER_FILES =
  /^(tokenizer(_config)?\.json|vocab\.json|merges\.txt|special_tokens_map\.json|added_tokens\.json|(generation_)?config\.json|chat_template\.jinja)$/;

export const listingKey = ({ files }: SourceListing): string => contentKey(files).slice(0, 12);

/** Of what a dataset's source lists, the files that hold the data. */
export function dataOf(spec: RunSpec, { resolved, files }: SourceListing): SourceListing {
  const chosen = chooseDataFiles(
    files.map(({ path }) => path),
    spec.preprocess.compat === 'mindspeed',
  );
  if ('problem' in chosen)
    throw ApplicationFailure.nonRetryable(`dataset.source ${spec.dataset.source}: ${chosen.problem}`, 'InvalidInput');
  const compressed = chosen.files.find((path) => !isSplittable(path));
  if (compressed !== undefined && spec.preprocess.engine === 'mindspeed')
    throw ApplicationFailure.nonRetryable(
      `dataset.source ${spec.dataset.source}: ${compressed} is compressed, which preprocess.engine "mindspeed" does not read; "native" does`,
      'InvalidInput',
    );
  if (chosen.left.length) log.warn('files of the dataset are not read', { files: chosen.left });
  const data = new Set(chosen.files);
  return { resolved, files: files.filter(({ path }) => data.has(path)) };
}

/** Files of a source that are wanted, in byte order of their names, with the revision pinned. */
export async function listFiles(
  { tokens }: Pick<RunSpec, 'tokens'>,
  source: string,
  nodes: NodeInfo[],
  timing: Timing,
  wanted: (path: string) => boolean,
): Promise<SourceListing> {
  const { resolved, files } = await onFirst(nodes, (node) =>
    onNode(node.name, timing).listSource({ source, ...(tokens && { tokens }) }),
  );
  const chosen = inOrder(files.filter(({ path }) => wanted(path)));
  if (chosen.length === 0)
    throw ApplicationFailure.nonRetryable(
      `${source} holds no file that is wanted here (it lists ${files.length} others)`,
      'InvalidInput',
    );
  return { resolved, files: chosen };
}

/** The same of a model or a tokenizer, with names from its directory. */
export async function listModel(...[tokens, source, nodes, timing, wanted]: Parameters<typeof listFiles>) {
  const nameOf = namedFrom(source);
  const { resolved, files } = await listFiles(tokens, source, nodes, timing, (path) => wanted(nameOf(path)));
  return { resolved, files: files.map((file) => renamed(file, nameOf(file.path))) };
}

/** Most names have the same order either way, and leave nothing in a history. */
function inOrder(files: SourceFile[]): SourceFile[] {
  const before = [...files].sort((a, b) => (a.path < b.path ? -1 : 1));
  const now = [...files].sort((a, b) => bytewise(a.path, b.path));
  return now.every((file, index) => file === before[index]) || patched(BYTE_ORDER) ? now : before;
}

export const fetchOnFirst = (
  { tokens }: Pick<RunSpec, 'tokens'>,
  { resolved, files }: SourceListing,
  dir: string,
  nodes: NodeInfo[],
  timing: Timing,
) =>
  onFirst(nodes, async (at) => ({
    artifact: await onNode(at.name, timing).fetchFiles({ source: resolved, files, dir, ...(tokens && { tokens }) }),
    at,
  }));
