/** Runs the MindSpeed-LLM converter aside, proves that every shard is there, and only then gives the result its name. */
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ConvertCheckpointInput, NodeActivities, ShardHeld, WeightsWanted } from '../workflows/contract.js';
import { saidOtherwise } from '../workflows/hugging-face.js';
import { confined } from './artifact.js';
import { readJson, syncPath } from './atomic.js';
import { heldShard, sealShard, shardDir, shardsIn } from './checkpoint-files.js';
import { entryPoint } from './entry-point.js';
import { exclusive } from './exclusive.js';
import { failure, reasonOf } from './failures.js';
import type { NodeDeps } from './node-deps.js';
import { reading } from './preprocess/proven-input.js';
import { run } from './shell.js';
import { step } from './step.js';
import { wrongInShards } from './weights-in-shards.js';

/** The iteration that the converter writes, whatever it converts. */
const ITERATION = 1;
const TIMEOUT_MS = 24 * 3_600_000;
/** Of what is wrong in the shards, in the message. */
const TOLD = 3;

export const createConvertCheckpoint =
  (deps: NodeDeps): NodeActivities['convertCheckpoint'] =>
  (input) => {
    const { name: node, dataDir } = deps;
    const what = `convert ${input.paths['--load-dir'] ?? input.to}`;
    return step({ node, name: what }, (signal) =>
      exclusive(join(dataDir, input.to), async () => {
        // With the node's name in it: one that is taken for lost may be converting on the same storage.
        const relative = `${input.to}.${node}.converting`;
        const aside = confined(dataDir, relative);
        await rm(aside, { recursive: true, force: true });
        const there = await heldShards(dataDir, input.to, input.shards);
        if (there) return there;
        const from = input.paths['--load-dir'] ?? input.to;
        // Of what a disk has lost a converter may say anything, or nothing.
        const made = await reading({ node, dataDir, dir: from, signal }, () =>
          convertInto(deps, input, { relative, from, what, signal }),
        );
        for (const shard of made) await sealShard(dataDir, shardDir(relative, ITERATION, shard), { signal });
        const meanwhile = await heldShards(dataDir, input.to, input.shards);
        if (meanwhile) {
          // Others may be reading them.
          await rm(aside, { recursive: true, force: true });
          return meanwhile;
        }
        const target = confined(dataDir, input.to);
        await rm(target, { recursive: true, force: true });
        await rename(aside, target);
        await syncPath(dirname(target));
        return (await heldShards(dataDir, input.to, input.shards))!;
      }),
    );
  };

interface Conversion {
  /** Where it is made, and what of, below the data directory. */
  relative: string;
  from: string;
  what: string;
  signal: AbortSignal;
}

/** @returns the shards that the converter wrote: those that were asked for, with what is to be in them */
async function convertInto(
  deps: NodeDeps,
  input: ConvertCheckpointInput,
  { relative, from, what, signal }: Conversion,
): Promise<string[]> {
  const { name: node, dataDir } = deps;
  const aside = confined(dataDir, relative);
  await requireSame(node, confined(dataDir, from), input.holds?.said);
  await mkdir(dirname(aside), { recursive: true });
  // The converter reads its configuration from the checkout, so paths of the data directory are absolute.
  const paths = Object.entries(input.paths).flatMap(([flag, path]) => [flag, confined(dataDir, path)]);
  const logPath = `${confined(dataDir, input.to)}.${node}.log`;
  const argv = [deps.python, await entryPoint(deps, input.script), ...input.args, ...paths, '--save-dir', aside];
  await run(argv, {
    cwd: deps.mindspeedDir,
    env: deps.env,
    timeout: TIMEOUT_MS,
    signal,
    logPath,
    what: `${node}: ${what}`,
  });

  const made = await shardsIn(dataDir, relative, ITERATION);
  const missing = input.shards.filter((shard) => !made.includes(shard));
  if (missing.length || made.length !== input.shards.length)
    throw failure(
      'CommandFailed',
      `${node}: ${what}: exit code 0, but the shards are ${made.join(', ') || 'none'} and not ${input.shards.join(', ')}; log: ${logPath}`,
      {
        nonRetryable: true,
        details: { node, made, wanted: input.shards, logPath },
      },
    );
  const wrong = input.holds ? await wrongInShards(aside, input.shards, input.holds) : [];
  if (wrong.length)
    throw failure(
      'CommandFailed',
      `${node}: ${what}: exit code 0, but the weights are not those of the run file's model: ${wrong.slice(0, TOLD).join('; ')}${wrong.length > TOLD ? ` and ${wrong.length - TOLD} more` : ''}. Correct model.preset or model.sizes, or the source; log: ${logPath}`,
      { nonRetryable: true, details: { node, wrong: wrong.slice(0, 50), logPath } },
    );
  return made;
}

/** @throws CommandFailed where training would take these weights for another model than their configuration does */
async function requireSame(node: string, from: string, said: WeightsWanted['said'] = {}): Promise<void> {
  const config = await readJson<Record<string, unknown>>(join(from, 'config.json')).catch((error: unknown) => {
    throw failure('CommandFailed', `${node}: ${reasonOf(error)}`, { details: { node } });
  });
  const other = config ? saidOtherwise(config, said) : [];
  if (other.length === 0) return;
  throw failure(
    'CommandFailed',
    `${node}: the weights' config.json is not that of the run file's model: ${other.join('; ')}. Nothing would fail, and another model be trained: choose the weights of model.preset, or say it in model.sizes or train.extraArgs ("--rotary-base")`,
    { nonRetryable: true, details: { node, other } },
  );
}

async function heldShards(dataDir: string, dir: string, shards: string[]): Promise<ShardHeld[] | undefined> {
  const held: ShardHeld[] = [];
  for (const shard of shards) {
    const one = await heldShard(dataDir, dir, ITERATION, shard);
    if (!one) return undefined;
    held.push(one);
  }
  return held;
}
