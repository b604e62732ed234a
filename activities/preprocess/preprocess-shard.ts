/** One shard of a dataset: the same bytes on whichever node, and however often, it is made. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeActivities, PreprocessShardInput, ShardResult } from '../../workflows/contract.js';
import { ENGINES } from '../../workflows/engines.js';
import { confined, readArtifact, sealArtifact, sha256, unseal } from '../artifact.js';
import { writeFileAtomic } from '../atomic.js';
import { exclusive } from '../exclusive.js';
import { failure } from '../failures.js';
import type { NodeDeps } from '../node-deps.js';
import { step } from '../step.js';
import { onCore } from './cores.js';
import type { Progress } from './encode-rows.js';
import { madeBefore, reading } from './proven-input.js';
import { createShardReport } from './report-shard.js';
import { runElsewhere } from './run-elsewhere.js';
import { fieldsOfSlice, refuseOther } from './same-columns.js';
import { inShort } from './figures.js';
import { knownDigests, pairName, SKIPPED, SUMMARY, type Summary, summaryOf } from './summary.js';

/** Below the data directory: what is computed of tokenizers; may be deleted at any time. */
const ENCODER_CACHE = 'cache/encoder';

/** The number of shards is part of the name: shard 0 of 2 is not shard 0 of 3. */
export const shardDir = ({ key, shard, of }: PreprocessShardInput): string =>
  `datasets/${key}/shards/${[shard, of].map((n) => String(n).padStart(5, '0')).join('-of-')}`;

export const createPreprocessShard =
  (deps: NodeDeps): NodeActivities['preprocessShard'] =>
  (input) => {
    const { name: node, dataDir } = deps;
    const dir = shardDir(input);
    let progress: Partial<Progress> = { documents: 0, tokens: 0, bytes: 0 };
    const speak = createShardReport(deps, input);
    const report = (done: Progress) => {
      progress = done;
      speak(done);
    };
    return step({ node, name: `preprocess ${dir}`, details: () => progress }, (signal) =>
      exclusive(join(dataDir, dir), () => makeShard({ node, dataDir, dir, input, signal, report })),
    );
  };

interface Task {
  node: string;
  dataDir: string;
  dir: string;
  input: PreprocessShardInput;
  signal: AbortSignal;
  report(done: Progress): void;
}

async function makeShard({ node, dataDir, dir, input, signal, report }: Task): Promise<ShardResult> {
  const { keys, files, slice, appendEod, vocabSize, compat, skipBadRows = 0 } = input;
  const [data, tokenizer] = [
    await complete(node, dataDir, input.input),
    await complete(node, dataDir, input.tokenizer),
  ];
  const made = sha256(
    JSON.stringify([ENGINES.native, data, tokenizer, keys, files, slice, appendEod, vocabSize, compat, skipBadRows]),
  );
  const there = await madeBefore(dataDir, dir, made, signal);
  if (there) return { artifact: there.artifact, ...resultOf(there.summary, keys) };

  const root = confined(dataDir, dir);
  await unseal(dataDir, dir);
  await rm(root, { recursive: true, force: true });
  await mkdir(root, { recursive: true });
  const job = {
    root: confined(dataDir, input.input),
    files,
    slice,
    keys,
    prefixes: Object.fromEntries(keys.map((key) => [key, join(root, pairName(key))])),
    tokenizer: confined(dataDir, input.tokenizer),
    tablesIn: join(dataDir, ENCODER_CACHE),
    appendEod,
    vocabSize,
    compat: compat === 'mindspeed',
    skip: skipBadRows > 0 ? { limit: skipBadRows, path: join(root, SKIPPED) } : undefined,
  };
  const { pairs, counts, figures, warnings, fields } = await reading(
    { node, dataDir, dir: input.input, signal },
    async () => {
      const fields = job.compat ? await fieldsOfSlice(job.root, files, slice) : undefined;
      refuseOther(fields);
      return { ...(await onCore(signal, () => runElsewhere(job, { signal, onProgress: report }))), fields };
    },
  );
  const written: Summary = {
    made,
    keys: summaryOf(pairs),
    counts,
    parts: figures,
    ...(fields && { fields }),
    ...(warnings.length && { warnings }),
  };
  await writeFileAtomic(join(root, SUMMARY), `${JSON.stringify(written)}\n`);
  const artifact = await sealArtifact(dataDir, dir, undefined, { known: knownDigests(pairs), signal });
  return { artifact, ...resultOf(written, keys) };
}

export const resultOf = ({ keys, warnings, figures }: Summary, order: string[]): Omit<ShardResult, 'artifact'> => ({
  documents: keys[order[0]!]?.documents ?? 0,
  tokens: Object.values(keys).reduce((sum, { tokens }) => sum + tokens, 0),
  ...(warnings && { warnings }),
  ...(figures && { figures: inShort(figures, order) }),
});

export async function complete(node: string, dataDir: string, dir: string): Promise<string> {
  const artifact = await readArtifact(dataDir, dir);
  if (artifact) return artifact.digest;
  throw failure('DataCorrupt', `${node}: ${dir} is not complete here. Start the run again, so that it is fetched`, {
    details: { node, dir },
  });
}
