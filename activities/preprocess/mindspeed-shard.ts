/** `preprocess.engine: "mindspeed"`: one file of the dataset through `preprocess_data.py`, by itself. */
import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeActivities, PreprocessShardInput, ShardResult } from '../../workflows/contract.js';
import { ENGINES } from '../../workflows/engines.js';
import { confined, sealArtifact, sha256, unseal } from '../artifact.js';
import { writeFileAtomic } from '../atomic.js';
import { exclusive } from '../exclusive.js';
import { failure } from '../failures.js';
import type { NodeDeps } from '../node-deps.js';
import { step } from '../step.js';
import { noCounts } from './counts.js';
import { asInt32s, elementsOf } from './elements.js';
import { asideOf, preprocessData } from './mindspeed-command.js';
import { complete, resultOf, shardDir } from './preprocess-shard.js';
import { madeBefore, reading } from './proven-input.js';
import { pairName, SUMMARY, type Summary } from './summary.js';

export const createMindspeedShard =
  (deps: NodeDeps): NodeActivities['preprocessShard'] =>
  (input) => {
    const dir = shardDir(input);
    return step({ node: deps.name, name: `preprocess ${dir}` }, (signal) =>
      exclusive(join(deps.dataDir, dir), () => makeShard(deps, dir, input, signal)),
    );
  };

async function makeShard(
  deps: NodeDeps,
  dir: string,
  input: PreprocessShardInput,
  signal: AbortSignal,
): Promise<ShardResult> {
  const { name: node, dataDir } = deps;
  const { keys, files, appendEod, vocabSize } = input;
  const [data, tokenizer] = [
    await complete(node, dataDir, input.input),
    await complete(node, dataDir, input.tokenizer),
  ];
  const made = sha256(JSON.stringify([ENGINES.mindspeed, data, tokenizer, keys, files, appendEod, vocabSize]));
  const there = await madeBefore(dataDir, dir, made, signal);
  if (there) return { artifact: there.artifact, ...resultOf(there.summary, keys) };

  const root = confined(dataDir, dir);
  const file = join(confined(dataDir, input.input), files[0]!);
  // A path that is not there would be looked for on a hub.
  await stat(file);
  await unseal(dataDir, dir);
  for (const old of [root, asideOf(root)]) await rm(old, { recursive: true, force: true });
  await mkdir(asideOf(root), { recursive: true });
  const args = [
    ...['--input', file, '--handler-name', 'GeneralPretrainHandler', '--json-keys', ...keys],
    ...['--tokenizer-type', 'PretrainedFromHF', '--tokenizer-name-or-path', confined(dataDir, input.tokenizer)],
    ...['--cache-dir', join(asideOf(root), 'cache'), '--workers', '1', '--n-subs', '1', '--log-interval', '1000'],
    ...(appendEod ? ['--append-eod'] : []),
  ];
  const pairs = await reading({ node, dataDir, dir: input.input, signal }, () =>
    preprocessData(deps, { what: `${node}: preprocess ${dir}`, root, keys, signal, args }),
  );
  for (const key of keys) await requireFits(join(root, `${pairName(key)}.bin`), vocabSize);
  const written: Summary = { made, keys: pairs, counts: noCounts(keys) };
  await writeFileAtomic(join(root, SUMMARY), `${JSON.stringify(written)}\n`);
  const artifact = await sealArtifact(dataDir, dir, undefined, { signal });
  return { artifact, ...resultOf(written, keys) };
}

/** Training would end with an index out of range on a device, hours later. */
async function requireFits(bin: string, vocabSize: number): Promise<void> {
  const { size } = await stat(bin);
  for await (const chunk of elementsOf(bin, 0, size))
    for (const id of asInt32s(chunk))
      if (id >= vocabSize || id < 0)
        throw failure('InvalidInput', `${bin}: token id ${id} does not fit a vocabulary of ${vocabSize}`, {
          nonRetryable: true,
        });
}
