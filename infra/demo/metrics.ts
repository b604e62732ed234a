/** What the trainers of the demo's nodes have printed, read from the files that their watchers write. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Metric {
  generation: number;
  iteration: number;
  loss?: number;
  /** Milliseconds since the epoch at which the watcher saw the line. */
  at: number;
}

/** All iterations of a run over all nodes, by generation and iteration. */
export async function readMetrics(dataDirs: string[], run: string): Promise<Metric[]> {
  const perNode = await Promise.all(dataDirs.map((dir) => readNode(join(dir, 'runs', run))));
  return perNode.flat().sort((a, b) => a.generation - b.generation || a.iteration - b.iteration);
}

async function readNode(dir: string): Promise<Metric[]> {
  const generations = (await readdir(dir).catch(() => [])).filter((name) => name.startsWith('gen-'));
  const found = await Promise.all(
    generations.map(async (name) => {
      const text = await readFile(join(dir, name, 'metrics.jsonl'), 'utf8').catch(() => '');
      // A line that is still being written has no newline yet.
      const lines = text.split('\n').slice(0, -1);
      return lines.map(
        (line) => ({ generation: Number(name.split('-')[1]), ...(JSON.parse(line) as object) }) as Metric,
      );
    }),
  );
  return found.flat();
}
