/** What the reference backend's preprocess_data.py reads parquet with: beside its environment, which does without. This one takes any NumPy. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../../../workers/config.js';

const PACKAGE = 'pyarrow==17.0.0';

/** A directory for PYTHONPATH, made once. */
export async function pyarrowFor(python: string): Promise<string> {
  const dir = join(root, '.cache/bench/overhead', PACKAGE);
  if (existsSync(dir)) return dir;
  const building = `${dir}.${process.pid}`;
  await rm(building, { recursive: true, force: true });
  // That environment's own pip, or the one of the Python that it was made from.
  const version = (await promisify(execFile)(python, ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])']))
    .stdout;
  const options = ['--quiet', '--only-binary=:all:', '--python-version', version.trim(), '--target', building];
  await promisify(execFile)('python3', ['-m', 'pip', 'install', ...options, PACKAGE]);
  await rename(building, dir);
  return dir;
}
