/** All shards into the dataset, in order. The result depends on the rows alone, not on how many shards there were. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { log } from '@temporalio/activity';
import type { MergeShardsInput, NodeActivities, ShardResult } from '../../workflows/contract.js';
import { confined, readArtifact, sealArtifact, unseal } from '../artifact.js';
import { readIfThere, writeFileAtomic } from '../atomic.js';
import { exclusive } from '../exclusive.js';
import type { NodeDeps } from '../node-deps.js';
import { withSpace } from '../promised-space.js';
import { step } from '../step.js';
import { pullArtifact } from '../transfer.js';
import { noCounts, sumCounts, type Counts } from './counts.js';
import { addFigures, toldOf, type Figures } from './figures.js';
import { figuresOf, isOfOtherVersion, LINEAGE, noteLineage } from './lineage.js';
import { pairsIn } from './pair-digests.js';
import { refuseWhole } from './refuse-whole.js';
import { mergeAll, removeBegun } from './merge-pairs.js';
import { resultOf } from './preprocess-shard.js';
import { joined, refuseOther, type Fields } from './same-columns.js';
import {
  knownDigests,
  pairName,
  readSummary,
  SKIPPED,
  SUMMARY,
  summaryOf,
  type Summary,
  warningsOf,
} from './summary.js';

export const createMergeShards =
  (deps: NodeDeps): NodeActivities['mergeShards'] =>
  (input) => {
    const { name: node, dataDir } = deps;
    const dir = `datasets/${input.key}`;
    const progress = { bytes: 0, of: 2 * bytesOf(input) };
    const onBytes = (bytes: number) => void (progress.bytes += bytes);
    return step({ node, name: `merge ${dir}`, details: () => progress }, (signal) =>
      exclusive(join(dataDir, dir), () => merge({ deps, dir, input, signal, onBytes })),
    );
  };

interface Task {
  deps: NodeDeps;
  dir: string;
  input: MergeShardsInput;
  signal: AbortSignal;
  onBytes(bytes: number): void;
}

async function merge({ deps, dir, input, signal, onBytes }: Task): Promise<ShardResult> {
  const { name: node, dataDir } = deps;
  const { keys, shards, lineage, asksHolders } = input;
  const there = await readArtifact(dataDir, dir);
  const summary = there && (await readSummary(dataDir, dir));
  const isMade = there && summary && keys.every((key) => summary.keys[key]);
  if (isMade && !(await isOfOtherVersion(dataDir, dir)))
    return { artifact: there, ...resultOf(summary, keys), ...(await pairsIn(dataDir, dir)) };

  for (const { artifact, from } of shards) {
    const onProblem = (peer: string, problem: string) => {
      log.warn('a peer was left', { peer, problem, dir: artifact.dir });
    };
    await pullArtifact(deps, { artifact, from, asksHolders, signal, onProblem });
    onBytes(artifact.bytes);
  }

  const { counts, figures, warnings, fields } = await sumOf(
    shards.map(({ artifact }) => artifact.dir),
    { dataDir, keys },
  );
  refuseOther(fields);
  refuseWhole(counts, { compat: input.compat === 'mindspeed', skipBadRows: input.skipBadRows ?? 0, what: dir });

  const root = confined(dataDir, dir);
  await unseal(dataDir, dir);
  await mkdir(root, { recursive: true });
  const groups = keys.map((key) => ({
    prefixes: shards.map(({ artifact }) => join(confined(dataDir, artifact.dir), pairName(key))),
    to: join(root, pairName(key)),
  }));
  // Before it is looked at how much room there is.
  await removeBegun(groups.map(({ to }) => to));
  const bytes = bytesOf(input);
  let left = bytes;
  const onWritten = (more: number) => {
    left -= more;
    onBytes(more);
  };
  const room = { path: root, bytes, left: () => left };
  const made = await withSpace(room, { node, name: `merge ${dir}` }, () =>
    mergeAll(groups, { signal, onBytes: onWritten }),
  );
  const pairs = Object.fromEntries(keys.map((key, index) => [key, made[index]!]));
  const totals = summaryOf(pairs);
  const written: Summary = {
    ...{ keys: totals, counts, figures: toldOf(figures, totals) },
    ...(warnings.length && { warnings }),
  };
  const skipped = await joinSkipped(
    shards.map(({ artifact }) => confined(dataDir, artifact.dir)),
    root,
  );
  await writeFileAtomic(join(root, SUMMARY), `${JSON.stringify(written)}\n`);
  if (lineage) await noteLineage(dataDir, dir, lineage, figures);
  const known = knownDigests(pairs);
  const artifact = await sealArtifact(
    dataDir,
    dir,
    [...known.keys(), SUMMARY, ...skipped, ...(lineage ? [LINEAGE] : [])],
    {
      ...{ known, signal },
    },
  );
  return { artifact, ...resultOf(written, keys), ...(await pairsIn(dataDir, dir)) };
}

/** One shard after the other: what is known of each fills pages. */
async function sumOf(dirs: string[], { dataDir, keys }: { dataDir: string; keys: string[] }) {
  let [counts, figures]: [Counts, Figures] = [noCounts(keys), { keys: {} }];
  const warned: { warnings?: string[] }[] = [];
  let fields: Fields | undefined;
  for (const dir of dirs) {
    const part = (await readSummary(dataDir, dir))!;
    counts = sumCounts(keys, [counts, part.counts]);
    figures = addFigures(figures, await figuresOf(dataDir, dir, part));
    fields = joined([fields, part.fields]);
    warned.push({ ...(part.warnings && { warnings: part.warnings }) });
  }
  return { counts, figures, warnings: warningsOf(warned), fields };
}

async function joinSkipped(shards: string[], root: string): Promise<string[]> {
  const parts = await Promise.all(shards.map((shard) => readIfThere(join(shard, SKIPPED))));
  const lines = parts.filter((part) => part !== undefined);
  if (lines.length) await writeFileAtomic(join(root, SKIPPED), Buffer.concat(lines));
  return lines.length ? [SKIPPED] : [];
}

const bytesOf = ({ shards }: MergeShardsInput): number => shards.reduce((sum, { artifact }) => sum + artifact.bytes, 0);
