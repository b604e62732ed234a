/**
 * Looks over the shoulders of all ranks: notes when each iteration was printed, by whom. It reads the disks directly,
 * so no fault that a case makes keeps it from seeing, and it owes nothing to what the product says of itself.
 */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '../../infra/demo/part.js';

export interface Trained {
  node: string;
  generation: number;
  token: number;
  iteration: number;
  /** As printed: digits that differ are a difference. */
  loss: string;
  /** Milliseconds since the epoch at which it was seen, a tenth of a second after it was printed at most. */
  at: number;
}

/** A checkpoint that a log says was written, or loaded. */
export interface Checkpointed {
  node: string;
  generation: number;
  what: 'saved' | 'loaded';
  iteration: number;
}

export interface Recorder {
  trained: Trained[];
  checkpoints: Checkpointed[];
  /** Newest generation that has begun anywhere. */
  generation(): number;
  /** Highest iteration that this generation has printed. */
  reached(generation: number): number;
  /** Reads what there is now, and ends. */
  stop(): Promise<void>;
}

const LOOK_EVERY_MS = 50;
const ITERATION = / iteration +(\d+)\/ *\d+ \|.* lm loss: (\S+) .*grad norm: (\S+) /;
const SAVED = /successfully saved checkpoint from iteration +(\d+) to/;
const LOADED = /successfully loaded checkpoint from .* at iteration +(\d+)/;

/** @param disks data directory of each node, by name */
export function startRecorder(disks: Record<string, string>, run: string): Recorder {
  const trained: Trained[] = [];
  const checkpoints: Checkpointed[] = [];
  const offsets = new Map<string, number>();
  let newest = 0;
  let stopped = false;

  async function look(): Promise<void> {
    for (const [node, disk] of Object.entries(disks)) {
      const runDir = join(disk, 'runs', run);
      for (const name of await readdir(runDir).catch(() => [])) {
        const [, generation, token] = /^gen-(\d+)-(\d+)$/.exec(name) ?? [];
        if (!generation || !token) continue;
        newest = Math.max(newest, Number(generation));
        const path = join(runDir, name, 'train.log');
        const { lines, end } = await linesFrom(path, offsets.get(path) ?? 0);
        offsets.set(path, end);
        for (const line of lines) take({ node, generation: Number(generation), token: Number(token) }, line);
      }
    }
  }

  function take(by: { node: string; generation: number; token: number }, line: string): void {
    const found = ITERATION.exec(line);
    if (found) {
      const [, iteration, loss, norm] = found;
      trained.push({ ...by, iteration: Number(iteration), loss: `${loss} ${norm}`, at: Date.now() });
    }
    const { node, generation } = by;
    for (const [what, pattern] of [
      ['saved', SAVED],
      ['loaded', LOADED],
    ] as const) {
      const iteration = pattern.exec(line)?.[1];
      if (iteration) checkpoints.push({ node, generation, what, iteration: Number(iteration) });
    }
  }

  const looking = (async () => {
    while (!stopped) {
      await look();
      await pause(LOOK_EVERY_MS);
    }
    await look();
  })();

  return {
    trained,
    checkpoints,
    generation: () => newest,
    reached: (generation) =>
      trained.reduce((most, t) => (t.generation === generation ? Math.max(most, t.iteration) : most), 0),
    async stop() {
      stopped = true;
      await looking;
    },
  };
}

/** Whole lines of a file from a place on, and where the next one begins. */
async function linesFrom(path: string, from: number): Promise<{ lines: string[]; end: number }> {
  const file = await open(path).catch(() => undefined);
  if (!file) return { lines: [], end: from };
  try {
    const { size } = await file.stat();
    if (size <= from) return { lines: [], end: from };
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    const whole = buffer.subarray(0, bytesRead).lastIndexOf('\n') + 1;
    if (whole === 0) return { lines: [], end: from };
    return { lines: buffer.toString('utf8', 0, whole).split('\n').slice(0, -1), end: from + whole };
  } finally {
    await file.close();
  }
}
