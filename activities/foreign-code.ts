/**
 * Configurations of models and tokenizers may name Python that `transformers` is to import (`auto_map`), and the trainer
 * lets it. No such file is ever fetched; one that lies elsewhere on the machine must not be reached by its path.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { readIfThere } from './atomic.js';
import { invalid } from './source.js';

const CONFIGURATION = /(^|\/)[\w-]*config\.json$/;
/** `module.Class` beside the configuration; `where--module.Class`, or a path for a module, is somewhere else. */
const BESIDE = /^\w+\.\w+$/;

const configuration = z.object({ auto_map: z.unknown() });

/** @throws InvalidInput where a configuration among these files would have code imported that is not beside it */
export async function refuseForeignCode(source: string, root: string, paths: Iterable<string>): Promise<void> {
  for (const path of paths) {
    if (!CONFIGURATION.test(path)) continue;
    const named = classesIn(await readIfThere(join(root, path)));
    const foreign = named.find((name) => !BESIDE.test(name));
    if (foreign !== undefined)
      throw invalid(
        source,
        `${path} has ${JSON.stringify(foreign).slice(0, 200)} imported (auto_map), which is code from elsewhere. Take that out of the file, or choose a tokenizer without code of its own`,
      );
  }
}

/** What is no JSON is for its reader to refuse. */
function classesIn(bytes: Buffer | undefined): string[] {
  try {
    const { data } = configuration.safeParse(JSON.parse(bytes?.toString('utf8') ?? ''));
    return textsIn(data?.auto_map);
  } catch {
    return [];
  }
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}
