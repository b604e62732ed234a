/** What the demo prints while the run goes on: a line for each phase, a bar and the loss while it trains. */
import type { WorkflowHandle } from '@temporalio/client';
import type { Metric } from './metrics.js';
import { pause } from './part.js';

export interface ProgressSource {
  handle: WorkflowHandle;
  metrics(): Promise<Metric[]>;
  done: { readonly yet: boolean };
  target: number;
}

const WIDTH = 30;

export async function showProgress({ handle, metrics, done, target }: ProgressSource): Promise<void> {
  const began = Date.now();
  const printed = new Set<string>();
  let shown = 0;
  while (!done.yet) {
    for (const line of eventsOf(await handle.query<string>('status').catch(() => ''))) {
      if (printed.has(line)) continue;
      printed.add(line);
      print(`${elapsed(began)}  ${line}`);
    }
    const last = (await metrics()).at(-1);
    if (last && last.at > shown) {
      shown = last.at;
      const bar = '█'.repeat(Math.round((WIDTH * last.iteration) / target)).padEnd(WIDTH, '·');
      print(
        `${elapsed(began)}  ${bar} ${String(last.iteration).padStart(4)}/${target}  loss ${last.loss?.toFixed(4) ?? '-'}  generation ${last.generation}`,
      );
    }
    await pause(1000);
  }
}

/** The phase and the events of the status page, each a line that is printed once. */
function eventsOf(page: string): string[] {
  const lines = page.split('\n');
  const phase = lines[0]?.replaceAll('*', '');
  return [...(phase ? [phase] : []), ...lines.filter((line) => line.startsWith('- ')).map((line) => line.slice(2))];
}

const elapsed = (began: number): string => `${((Date.now() - began) / 1000).toFixed(0).padStart(4)} s`;
const print = (line: string): void => void process.stdout.write(`${line}\n`);
