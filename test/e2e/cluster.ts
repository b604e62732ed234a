/** A cluster for end-to-end tests: the demo's stack in a directory of its own, driven by the real CLI. */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCorpus } from '../../infra/demo/corpus.js';
import { startHub } from '../../infra/demo/hub.js';
import { processesIn } from '../../infra/demo/kill-node.js';
import { readMetrics, type Metric } from '../../infra/demo/metrics.js';
import { demoRunFile } from '../../infra/demo/run-file.js';
import { pause } from '../../infra/demo/part.js';
import { startStack, type Stack, type StackOptions } from '../../infra/demo/stack.js';
import { root } from '../../workers/config.js';
import { temporalCli, type CliAnswer } from '../support/temporal-cli.js';

export interface Cluster extends Stack {
  dir: string;
  /** Runs the Temporal CLI against this cluster; never throws for an exit code. */
  cli(...args: string[]): Promise<CliAnswer>;
  /** Writes a run file for the demo's model with these changes, and returns its path. */
  runFile(name: string, changes: RunChanges): Promise<string>;
  metrics(run: string): Promise<Metric[]>;
  /** Ids of the ranks (not torchrun, not the guard) that train on a node. */
  ranks(node: string): Promise<number[]>;
  close(): Promise<void>;
}

export interface RunChanges {
  series?: string;
  train?: Record<string, unknown>;
  cluster?: Record<string, unknown>;
  dataset?: Record<string, unknown>;
  gates?: Record<string, unknown>;
  recovery?: Record<string, unknown>;
  parallel?: Record<string, unknown>;
  preprocess?: Record<string, unknown>;
  export?: Record<string, unknown>;
}

const NODES = ['n1', 'n2', 'n3'];

/**
 * @param stepSeconds least time of an iteration, so that something can happen between two
 * @param more.shared folders of the data directories that are one for all nodes
 */
export async function startCluster(
  stepSeconds: number,
  { shared = [], ...more }: Pick<StackOptions, 'env' | 'nodeEnv'> & { shared?: string[] } = {},
): Promise<Cluster> {
  const dir = await mkdtemp(join(tmpdir(), 'e2e-'));
  for (const name of shared) {
    await mkdir(join(dir, 'shared', name), { recursive: true });
    for (const node of NODES) {
      await mkdir(join(dir, 'nodes', node), { recursive: true });
      await symlink(join(dir, 'shared', name), join(dir, 'nodes', node, name));
    }
  }
  const hub = await startHub({ root: await makeCorpus(join(root, '.cache/demo-hub')) });
  const env = {
    REFERENCE_STEP_SECONDS: String(stepSeconds),
    REFERENCE_PG_TIMEOUT_SECONDS: '60',
    PRETRAIN_EXPORTS: dir,
    ...more.env,
  };
  const stack = await startStack({ dir, nodes: NODES, hub: hub.url, ...more, env }).catch(async (error: unknown) => {
    await hub.close();
    throw error;
  });
  return {
    ...stack,
    dir,
    cli: (...args) => temporalCli(stack.address, ...args),
    async runFile(name, { train, cluster, dataset, recovery, ...rest }) {
      const base = demoRunFile('demo', { iterations: 30, saveInterval: 5 });
      const path = join(dir, `${name}.json`);
      const merged = {
        ...base,
        ...rest,
        train: { ...(base['train'] as object), ...train },
        dataset: { ...(base['dataset'] as object), ...dataset },
        cluster: { ...(base['cluster'] as object), ...cluster },
        recovery: { ...(base['recovery'] as object), ...recovery },
      };
      await writeFile(path, JSON.stringify(merged));
      return path;
    },
    metrics: (run) => readMetrics(NODES.map(stack.dataOf), run),
    async ranks(node) {
      const pids = await processesIn(stack.dataOf(node));
      const isRank = await Promise.all(
        pids.map(async (pid) =>
          (await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).includes('\0LOCAL_RANK='),
        ),
      );
      return pids.filter((_, index) => isRank[index]).sort((a, b) => a - b);
    },
    async close() {
      await stack.stop();
      await hub.close();
      for (const node of NODES) for (const pid of await processesIn(stack.dataOf(node))) process.kill(pid, 'SIGKILL');
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Asks until the answer is not undefined; a test fails with `what` when that takes too long. */
export async function until<T>(what: string, ask: () => Promise<T | undefined>, seconds = 90): Promise<T> {
  for (const deadline = Date.now() + seconds * 1000; Date.now() < deadline; await pause(100)) {
    const answer = await ask();
    if (answer !== undefined) return answer;
  }
  throw new Error(`waited ${seconds} s for ${what}`);
}

/** The loss of every iteration as it stands after the run: of an iteration trained twice, the later one. */
export const lossesOf = (metrics: Metric[]): Record<number, number | undefined> =>
  Object.fromEntries(metrics.map(({ iteration, loss }) => [iteration, loss]));
