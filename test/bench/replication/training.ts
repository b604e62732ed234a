/** A real training on the reference backend: two nodes, each a directory with one pipeline stage, until it is told to end. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readTracker } from '../../../activities/checkpoint-files.js';
import { createTrainingLog } from '../../../activities/training-log.js';
import { checkpointsDir } from '../../../workflows/plan.js';
import { makeNode, makeSite, torchrun } from '../../reference-backend/support.js';
import { SERIES } from './series.js';

export interface Training {
  /** Data directories, by node rank. */
  nodes: string[];
  /** The iteration that the tracker names: all ranks have written it. */
  saved(): Promise<number>;
  /** Milliseconds of each iteration, by its number. */
  steps(): Promise<Map<number, number>>;
  /** Rejects when a node's ranks end, with what they printed last. */
  ended: Promise<never>;
  close(): Promise<void>;
}

/** Nobody waits for the last of them. */
const ITERATIONS = 1_000_000;

/** @param hidden width of the model, of which a checkpoint takes 16 bytes a parameter, in float32 with Adam's state */
export async function startTraining({ hidden, every }: { hidden: number; every: number }): Promise<Training> {
  const site = await makeSite();
  try {
    const nodes = await Promise.all(['n1', 'n2'].map((name) => makeNode(site.dir, name)));
    for (const node of nodes) await mkdir(join(node, checkpointsDir(SERIES)), { recursive: true });
    const running = await torchrun(nodes, 1, argumentsOf(hidden, every));
    const ends = running.map(async ({ exit, log }): Promise<never> => {
      const code = await exit;
      throw new Error(`training ended with ${code}: ${(await log()).slice(-2000)}`);
    });
    const ended = Promise.race(ends);
    // Also when nobody is waiting for it, as at the end.
    for (const end of [...ends, ended]) end.catch(() => undefined);
    return {
      nodes,
      ended,
      saved: async () => (await readTracker(nodes[0]!, checkpointsDir(SERIES))) ?? 0,
      async steps() {
        const log = createTrainingLog();
        const lines = (await readFile(join(nodes[1]!, 'log'), 'utf8')).split('\n');
        const iterations = lines.flatMap((line) => log.line(line)).filter((event) => event.kind === 'iteration');
        return new Map(iterations.map(({ iteration, msPerIteration }) => [iteration, msPerIteration!]));
      },
      close: site.close,
    };
  } catch (error) {
    await site.close();
    throw error;
  }
}

const argumentsOf = (hidden: number, every: number): string[] =>
  [
    '--use-mcore-models --qk-layernorm --swiglu --disable-bias-linear --untie-embeddings-and-output-weights',
    `--num-layers 4 --hidden-size ${hidden} --ffn-hidden-size ${3 * hidden} --num-attention-heads ${hidden / 32}`,
    `--group-query-attention --num-query-groups ${hidden / 64} --kv-channels 32 --max-position-embeddings 128`,
    '--padded-vocab-size 8192 --rotary-base 1000000 --norm-epsilon 1e-6 --normalization RMSNorm --position-embedding-type rope',
    '--attention-dropout 0.0 --hidden-dropout 0.0 --transformer-impl local --eval-iters 0 --split 100,0,0',
    '--tokenizer-type PretrainedFromHF --tokenizer-name-or-path tiny-tokenizer --data-path data/tiny_text_document',
    `--seq-length 128 --micro-batch-size 1 --global-batch-size 4 --train-iters ${ITERATIONS} --lr 1e-3 --log-interval 1`,
    '--use-distributed-optimizer --pipeline-model-parallel-size 2 --no-shared-storage',
    `--save ${checkpointsDir(SERIES)} --save-interval ${every}`,
  ]
    .join(' ')
    .split(' ');
