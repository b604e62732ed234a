/** What is in a directory of safetensors files, by their headers: `<u64 length><JSON><data>`, offsets from the data's begin. */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Shapes } from '../workflows/weight-shapes.js';

export interface TensorsFound {
  /** By name, over all files. */
  shapes: Shapes;
  /** As the files say, such as BF16. */
  dtypes: string[];
}

const count = z.int().min(0);
const entries = z.record(
  z.string(),
  z.object({ dtype: z.string(), shape: z.array(count), data_offsets: z.tuple([count, count]) }),
);
type Entry = z.infer<typeof entries>[string];

const MAX_HEADER = 100 * 2 ** 20;

/** @throws where a file is cut, longer than it says, or has a tensor that another one has too */
export async function tensorsIn(dir: string): Promise<TensorsFound> {
  const seen = new Map<string, string>();
  const shapes: Shapes = {};
  const dtypes = new Set<string>();
  for (const name of (await readdir(dir)).filter((file) => file.endsWith('.safetensors')).sort())
    for (const [tensor, { dtype, shape }] of Object.entries(await headerOf(join(dir, name)))) {
      const other = seen.get(tensor);
      if (other !== undefined) throw new Error(`${tensor} is in ${other} and in ${name}`);
      seen.set(tensor, name);
      shapes[tensor] = shape;
      dtypes.add(dtype);
    }
  return { shapes, dtypes: [...dtypes].sort() };
}

async function headerOf(path: string): Promise<Record<string, Entry>> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const prefix = Buffer.alloc(8);
    await file.read(prefix, 0, 8, 0);
    const length = size < 8 ? Infinity : Number(prefix.readBigUInt64LE());
    if (length > Math.min(MAX_HEADER, size - 8)) throw new Error(`${path} has no header of safetensors`);
    const bytes = Buffer.alloc(length);
    await file.read(bytes, 0, length, 8);
    const tensors = entriesIn(bytes);
    if (!tensors) throw new Error(`${path} has a header that is none of safetensors`);
    const ends = Object.values(tensors).map(({ data_offsets: [, end] }) => end);
    const wanted = 8 + length + Math.max(0, ...ends);
    if (size !== wanted) throw new Error(`${path} has ${size} bytes and should have ${wanted}`);
    return tensors;
  } finally {
    await file.close();
  }
}

function entriesIn(header: Buffer): Record<string, Entry> | undefined {
  try {
    const { __metadata__: _, ...tensors } = JSON.parse(header.toString('utf8')) as Record<string, unknown>;
    return entries.safeParse(tensors).data;
  } catch {
    return undefined;
  }
}
