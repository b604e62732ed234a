/** What the demo does to its cluster half-way, and what that cost. */
import { join } from 'node:path';
import { killNode } from './kill-node.js';
import type { Metric } from './metrics.js';
import { pause } from './part.js';
import type { Stack } from './stack.js';

const VICTIM = 'n2';

export type FaultName = 'kill-node' | 'kill-server' | 'restore-server';

interface Fault {
  /** Enough iterations for it to be done while the run trains. */
  iterations?: number;
  /** What is done before, when a third of the iterations is trained. */
  before?: (stack: Stack) => Promise<string>;
  /** @returns what was done, for a person */
  strike(stack: Stack): Promise<string>;
  /** Whether the run went on as this project promises. */
  isAsExpected(generations: number, lost: number): boolean;
}

/** Training does not notice. */
const costsNothing = (generations: number, lost: number): boolean => generations === 1 && lost === 0;

export const faults: Record<FaultName, Fault> = {
  'kill-node': {
    async strike(stack) {
      await killNode(stack.node(VICTIM), stack.dataOf(VICTIM));
      return `killed node ${VICTIM}, its worker and its ranks`;
    },
    isAsExpected: (generations) => generations > 1,
  },
  'kill-server': {
    async strike({ server, onPostgres }) {
      await server.kill('SIGKILL');
      await server.start();
      return `killed the Temporal server${onPostgres ? ' and its PostgreSQL' : ''} with SIGKILL, and started it again`;
    },
    isAsExpected: costsNothing,
  },
  'restore-server': {
    iterations: 900,
    async before(stack) {
      await stack.onPostgres!.backUp(backupOf(stack));
      return 'dumped the databases of the Temporal server';
    },
    async strike(stack) {
      // It remembers more of each run than the server will.
      await stack.control.kill();
      await stack.onPostgres!.restore(backupOf(stack));
      await stack.control.start();
      // A node that joins tells its pool of the newest launch that it has seen, which the backup may not know.
      await Promise.all(stack.nodes.map(stack.node).map((worker) => worker.kill().then(() => worker.start())));
      return 'threw PostgreSQL away with all that it had, and restored the dump into a fresh one';
    },
    isAsExpected: costsNothing,
  },
};

const backupOf = (stack: Stack): string => join(stack.dir, 'backup');

export interface Struck {
  at: number;
  /** The last iteration of the generation that trained then. */
  iteration: number;
  generation: number;
  isAsExpected: Fault['isAsExpected'];
}

/** Waits until half of the iterations are trained, and does it. */
export async function strike(
  name: FaultName,
  run: {
    stack: Stack;
    metrics: () => Promise<Metric[]>;
    iterations: number;
    done: { yet: boolean };
    say: (text: string) => void;
  },
): Promise<Struck> {
  const { stack, metrics, iterations, done, say } = run;
  const reached = async (share: number): Promise<Metric> => {
    for (;;) {
      if (done.yet) throw new Error(`the run ended before --${name} was done`);
      const last = (await metrics()).at(-1);
      if (last && last.iteration >= iterations * share) return last;
      await pause(200);
    }
  };
  const { before, strike: doIt, isAsExpected } = faults[name];
  if (before) {
    const { iteration } = await reached(1 / 3);
    say(`\n✂ ${await before(stack)}, at iteration ${iteration}\n`);
  }
  const { generation } = await reached(1 / 2);
  const at = Date.now();
  const what = await doIt(stack);
  const { iteration } = (await metrics()).findLast((metric) => metric.generation === generation)!;
  if (iteration >= iterations) throw new Error(`all was trained before --${name} was done: more --iterations`);
  say(`\n✂ ${what}, at iteration ${iteration} (${((Date.now() - at) / 1000).toFixed(1)} s)\n`);
  return { at, iteration, generation, isAsExpected };
}

/** How many iterations had to be trained again, and how long it took from then to the next one. */
export function lossOf(metrics: Metric[], { at, iteration, generation }: Struck): { lost: number; seconds: number } {
  const relaunched = metrics.find((metric) => metric.generation > generation);
  const next = relaunched ?? metrics.find((metric) => metric.at > at);
  if (!next) throw new Error('nothing was trained afterwards');
  return {
    lost: relaunched ? iteration - relaunched.iteration + 1 : 0,
    seconds: (next.at - at) / 1000,
  };
}
