/** Releases side by side, as an upgrade puts them: what runs goes on from the old one, what starts is of the new one. */
import { cp, mkdir, readdir, rename, symlink, appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../../../workers/config.js';

export interface Releases {
  /** Program of the newest release. */
  main: string;
  /** Puts a new one in its place, with another build id: the SDK takes it from the workflows' bundle. */
  next(): Promise<void>;
}

export async function openReleases(dir: string): Promise<Releases> {
  const current = join(dir, 'current');
  let count = 0;

  async function next(): Promise<void> {
    const release = join(dir, `release-${++count}`);
    await mkdir(release, { recursive: true });
    for (const name of await readdir(root)) if (name !== 'dist') await symlink(join(root, name), join(release, name));
    await cp(join(root, 'dist'), join(release, 'dist'), { recursive: true });
    await appendFile(join(release, 'dist/workflow-bundle.js'), `\n// release ${count}\n`);
    await symlink(release, `${current}.new`);
    await rename(`${current}.new`, current);
  }

  await next();
  return { main: join(current, 'dist/workers/main.js'), next };
}
