/** One call of the checkout's own `preprocess_data.py`, and a look at what it really wrote. */
import { createHash } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncPath } from '../atomic.js';
import { entryPoint } from '../entry-point.js';
import { failure, reasonOf } from '../failures.js';
import type { NodeDeps } from '../node-deps.js';
import { run } from '../shell.js';
import { readPair, type PairFacts } from './merge-pairs.js';
import { pairName } from './summary.js';

const TIMEOUT_MS = 2 * 24 * 3_600_000;

/** It takes a path that is not there for the name of a dataset on a hub. */
const OFFLINE = { HF_HUB_OFFLINE: '1', HF_DATASETS_OFFLINE: '1', TRANSFORMERS_OFFLINE: '1' };

export interface MindspeedCall {
  /** For messages, and unlike any other call's of the node. */
  what: string;
  /** The directory that gets the pairs; what lies beside it under its name is the call's own. */
  root: string;
  args: string[];
  keys: string[];
  signal: AbortSignal;
}

/** A directory of its own for a call: several at once, and those of other users, would meet in `~/tmp`. */
export const asideOf = (root: string): string => `${root}.mindspeed`;
export const outOf = (root: string): string => join(asideOf(root), 'out');

/** Runs it and moves the pairs of `keys` to their names in `root`, which is empty but for them. */
export async function preprocessData(deps: NodeDeps, call: MindspeedCall): Promise<Record<string, PairFacts>> {
  const { what, root, args, keys, signal } = call;
  const aside = asideOf(root);
  const [out, cache, logPath] = [outOf(root), join(aside, 'cache'), `${root}.log`];
  for (const dir of [out, cache]) await mkdir(dir, { recursive: true });
  // The program replaces this name wherever it finds it in the whole path: it must be nowhere else.
  const prefix = join(out, `p${createHash('sha256').update(root).digest('hex').slice(0, 16)}`);
  await run([deps.python, await entryPoint(deps, 'preprocess_data.py'), ...args, '--output-prefix', prefix], {
    cwd: deps.mindspeedDir,
    env: { ...deps.env, ...OFFLINE, HF_DATASETS_CACHE: cache, HF_HOME: cache },
    timeout: TIMEOUT_MS,
    ...{ signal, logPath, what },
  });
  const made: Record<string, PairFacts> = {};
  for (const key of keys) {
    const written = `${prefix}_${key}_document`;
    made[key] = await readPair(written).catch((error: unknown) => {
      throw failure(
        'CommandFailed',
        `${what}: exit code 0, but the pair of ${key} is not there or not whole: ${reasonOf(error)}; log: ${logPath}`,
        { nonRetryable: true, details: { key, logPath } },
      );
    });
  }
  await mkdir(root, { recursive: true });
  for (const key of keys)
    for (const ending of ['bin', 'idx'])
      await rename(`${prefix}_${key}_document.${ending}`, join(root, `${pairName(key)}.${ending}`));
  for (const key of keys) for (const ending of ['bin', 'idx']) await syncPath(join(root, `${pairName(key)}.${ending}`));
  await rm(aside, { recursive: true, force: true });
  await syncPath(dirname(root));
  return made;
}
