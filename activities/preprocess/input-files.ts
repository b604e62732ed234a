/** What `--input` names: a file, the files of a directory, or those that a pattern matches, in byte order of their names. */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { bytewise } from '../../workflows/byte-order.js';
import { chooseDataFiles } from '../../workflows/data-files.js';
import { filesBelow } from '../artifact.js';
import { isMissing } from '../atomic.js';
import { failure } from '../failures.js';
import { globBase, isGlob, matching } from '../../workflows/glob.js';

export interface InputFiles {
  root: string;
  /** Relative to `root`. */
  files: string[];
  /** Files that were passed over, and why nobody should wonder. */
  left: string[];
}

export async function findInput(input: string, compat: boolean): Promise<InputFiles> {
  const { root, names } = await listed(input);
  const chosen = chooseDataFiles(names, compat);
  if ('problem' in chosen) throw refused(`${input}: ${chosen.problem}`);
  return { root, ...chosen };
}

async function listed(input: string): Promise<{ root: string; names: string[] }> {
  const found = await stat(input).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (found?.isFile()) return { root: dirname(input), names: [basename(input)] };
  if (found?.isDirectory()) {
    if (await isFile(join(input, `${basename(input)}.py`)))
      throw refused(`${input}: a data set's own Python script is not run; convert the data set to parquet first`);
    // As a shell's `*` does, hidden files are not data, and directories are not gone into.
    const names = (await readdir(input)).filter((name) => !name.startsWith('.')).sort(bytewise);
    const files = await Promise.all(names.map((name) => isFile(join(input, name))));
    return { root: input, names: names.filter((_, index) => files[index]) };
  }
  if (!isGlob(input)) throw refused(`--input ${input}: there is no such file or directory here`);
  const root = globBase(input) || (input.startsWith('/') ? '/' : '.');
  const wanted = matching(globBase(input) ? input.slice(globBase(input).length + 1) : input.replace(/^\//, ''));
  return { root, names: (await filesBelow(root)).filter(wanted) };
}

const isFile = async (path: string): Promise<boolean> => (await stat(path).catch(() => undefined))?.isFile() ?? false;

const refused = (message: string) => failure('InvalidInput', message, { nonRetryable: true });
