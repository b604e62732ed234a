/** All shards into the dataset by `preprocess_data.py --merge-group-keys`, one key after the other. */
import { link, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { log } from '@temporalio/activity';
import type { MergeShardsInput, NodeActivities, ShardResult } from '../../workflows/contract.js';
import { bytesBelow, confined, readArtifact, sealArtifact, sizeOf, unseal } from '../artifact.js';
import { writeFileAtomic } from '../atomic.js';
import { exclusive } from '../exclusive.js';
import { failure } from '../failures.js';
import type { NodeDeps } from '../node-deps.js';
import { withSpace } from '../promised-space.js';
import { step } from '../step.js';
import { pullArtifact } from '../transfer.js';
import { noCounts } from './counts.js';
import { readPair, type PairFacts } from './merge-pairs.js';
import { asideOf, outOf, preprocessData } from './mindspeed-command.js';
import { pairsIn } from './pair-digests.js';
import { resultOf } from './preprocess-shard.js';
import { pairName, readSummary, SUMMARY, type Summary } from './summary.js';

export const createMindspeedMerge =
  (deps: NodeDeps): NodeActivities['mergeShards'] =>
  (input) => {
    const dir = `datasets/${input.key}`;
    return step({ node: deps.name, name: `merge ${dir}` }, (signal) =>
      exclusive(join(deps.dataDir, dir), () => merge(deps, dir, input, signal)),
    );
  };

async function merge(deps: NodeDeps, dir: string, input: MergeShardsInput, signal: AbortSignal): Promise<ShardResult> {
  const { name: node, dataDir } = deps;
  const { keys, shards, asksHolders } = input;
  const there = await readArtifact(dataDir, dir);
  const summary = there && (await readSummary(dataDir, dir));
  if (there && summary && keys.every((key) => summary.keys[key]))
    return { artifact: there, ...resultOf(summary, keys), ...(await pairsIn(dataDir, dir)) };

  for (const { artifact, from } of shards) {
    const onProblem = (peer: string, problem: string) => {
      log.warn('a peer was left', { peer, problem, dir: artifact.dir });
    };
    await pullArtifact(deps, { artifact, from, asksHolders, signal, onProblem });
  }
  const root = confined(dataDir, dir);
  await unseal(dataDir, dir);
  await mkdir(root, { recursive: true });
  const bytes = shards.reduce((sum, { artifact }) => sum + artifact.bytes, 0);
  const pairs = keys.flatMap((key) => ['bin', 'idx'].map((ending) => `${pairName(key)}.${ending}`));
  // Not all that is below it: the shards that it is made of are, too.
  const left = async () => {
    const done = await Promise.all(pairs.map((name) => sizeOf(join(root, name))));
    return bytes - done.reduce<number>((sum, size = 0) => sum + size, 0) - (await bytesBelow(outOf(root)));
  };
  const merged: Summary['keys'] = {};
  await withSpace({ path: root, bytes, left }, { node, name: `merge ${dir}` }, async () => {
    for (const key of keys) merged[key] = await mergeKey({ deps, dir, root, key, input, signal });
  });
  const written: Summary = { keys: merged, counts: noCounts(keys) };
  await writeFileAtomic(join(root, SUMMARY), `${JSON.stringify(written)}\n`);
  const artifact = await sealArtifact(dataDir, dir, [SUMMARY, ...pairs], { signal });
  return { artifact, ...resultOf(written, keys), ...(await pairsIn(dataDir, dir)) };
}

const COUNTED = ['documents', 'sequences', 'tokens'] as const;

interface KeyTask {
  deps: NodeDeps;
  dir: string;
  root: string;
  key: string;
  input: MergeShardsInput;
  signal: AbortSignal;
}

/**
 * It takes every pair of a directory whose name contains the key, in order of their names: so each key gets a directory
 * of its own, with nothing but its pairs, numbered with zeros, and the result goes to another.
 */
async function mergeKey({ deps, dir, root, key, input, signal }: KeyTask): Promise<PairFacts> {
  const { name: node, dataDir } = deps;
  const what = `${node}: merge ${key} of ${dir}`;
  const aside = asideOf(root);
  const pairs = join(aside, 'in');
  await rm(aside, { recursive: true, force: true });
  await mkdir(pairs, { recursive: true });
  const wanted = { documents: 0, sequences: 0, tokens: 0 };
  for (const [index, { artifact }] of input.shards.entries()) {
    const from = join(confined(dataDir, artifact.dir), pairName(key));
    for (const ending of ['bin', 'idx'])
      await link(`${from}.${ending}`, join(pairs, `${String(index).padStart(6, '0')}_${key}_document.${ending}`));
    const part = await readPair(from);
    for (const count of COUNTED) wanted[count] += part[count];
  }
  const args = ['--input', pairs, '--merge-group-keys', `${key}_document`];
  const { [key]: made } = await preprocessData(deps, { what, root, args, keys: [key], signal });
  if (COUNTED.every((count) => made![count] === wanted[count])) return made!;
  throw failure(
    'CommandFailed',
    `${what}: exit code 0, but ${JSON.stringify(made)} is not the sum of the shards, ${JSON.stringify(wanted)}`,
    { nonRetryable: true, details: { key, made, wanted } },
  );
}
