/** Two nodes without a shared disk, one stage each: trained once to the end, then copied as they were at iteration 10. */
import { cp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { finished, makeNode, makeSite, printed, ranks, recorded, type Finished } from './support.js';

export const common = (await recorded()).arguments;
export const twoStages = [...common, '--pipeline-model-parallel-size', '2', '--no-shared-storage'];
export const resume = [...twoStages, '--load', 'save', '--save', 'save'];

export const TRACKER = 'save/latest_checkpointed_iteration.txt';
export const FOLDER = 'save/iter_0000010';
type OfStages = [string, string];
export const MODEL = [0, 1].map((stage) => `${FOLDER}/mp_rank_00_00${stage}/model_optim_rng.pt`) as OfStages;
export const OPTIMIZER = [0, 1].map((stage) => `${FOLDER}/mp_rank_00_00${stage}/distrib_optim.pt`) as OfStages;

/** How a rank words that another one closed its connection. */
export const CLOSED = /RuntimeError: .*(Connection closed by peer|Connection reset by peer|Broken pipe)/;

export const remove = (path: string): Promise<void> => rm(path, { recursive: true });

/** Leaves the first part of a file. */
export const cut = async (path: string, part = 0.5): Promise<void> =>
  truncate(path, Math.floor((await stat(path)).size * part));

export interface TwoNodes {
  dir: string;
  /** What the uninterrupted run printed, iteration by iteration. */
  uninterrupted: string[];
  /** The two nodes as they were at iteration 10, the tracker brought to both. */
  atIteration10(): Promise<OfStages>;
  run(nodes: string[], args: string[], env?: Record<string, string>): Promise<Finished>;
  close(): Promise<void>;
}

export async function trainTwoNodes(): Promise<TwoNodes> {
  const { dir, close } = await makeSite();
  const run: TwoNodes['run'] = async (nodes, args, env = {}) =>
    finished(await ranks(nodes, args, { REFERENCE_PG_TIMEOUT_SECONDS: '60', ...env }));
  const whole = [await makeNode(dir, 'whole-n0'), await makeNode(dir, 'whole-n1')];
  const { exits, logs } = await run(whole, [...twoStages, '--save', 'save']);
  if (exits.join() !== '0,0') throw new Error(`exits ${exits.join()}\n${logs.join('\n')}`);
  let copies = 0;
  return {
    dir,
    uninterrupted: printed(logs[1]!),
    run,
    close,
    async atIteration10() {
      const name = `copy-${copies++}`;
      const nodes = [0, 1].map((i) => join(dir, `${name}-n${i}`)) as OfStages;
      for (const [i, node] of nodes.entries()) {
        await cp(whole[i]!, node, { recursive: true });
        for (const later of [15, 20]) await remove(join(node, `save/iter_00000${later}`));
        await writeFile(join(node, TRACKER), '10');
      }
      return nodes;
    },
  };
}
