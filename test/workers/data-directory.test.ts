/** Data directories that are no good, each for real: mounts, owners, a file system that stands still. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { chmod, chown, mkdir, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { root } from '../../workers/config.js';
import { proveUsable, watchDirectory } from '../../workers/data-directory.js';
import { tempDir } from '../support/temp-dir.js';
import { until } from '../support/until.js';

const isRoot = process.getuid?.() === 0;
const never = () => {
  throw new Error('it answers');
};
const sh = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: 'pipe' });

/** Mounting takes root, and freezing a disk of one's own; elsewhere these tests are left out. */
const can = (what: () => void): boolean => {
  try {
    what();
    return isRoot;
  } catch {
    return false;
  }
};
const canMount = can(() => sh('unshare', '--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt'));
const canFreeze =
  canMount &&
  can(() =>
    sh(
      'sh',
      '-ec',
      'truncate -s 4M $0/i; mkfs.ext4 -q $0/i; mkdir $0/d; mount -o loop $0/i $0/d; fsfreeze -f $0/d; fsfreeze -u $0/d; umount $0/d; rm -r $0',
      mkdtempSync(join(tmpdir(), 'freeze-')),
    ),
  );

async function mounted(options: string): Promise<string> {
  const dir = await tempDir();
  sh('mount', '-t', 'tmpfs', '-o', options, 'none', dir);
  onTestFinished(() => void sh('umount', dir));
  return dir;
}

/** Works as a user without rights, as far as files go. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  process.seteuid!(65_534);
  try {
    return await work();
  } finally {
    process.seteuid!(0);
  }
}

test('a data directory that is not there is made', async () => {
  const dir = join(await tempDir(), 'a/b');
  await proveUsable(dir, never);
  await proveUsable(dir, never);
});

test('a file in its place is named', async () => {
  const file = join(await tempDir(), 'file');
  await writeFile(file, '');
  await expect(proveUsable(file, never)).rejects.toThrow(`PRETRAIN_DATA: ${file} is no directory`);
  await expect(proveUsable(join(file, 'below'), never)).rejects.toThrow('is no directory, or is below a file');
});

test.runIf(canMount)('one that is mounted read-only is refused', async () => {
  await expect(proveUsable(await mounted('ro'), never)).rejects.toThrow(
    'is on a file system that is mounted read-only',
  );
});

test.runIf(canMount)('one without a free inode is refused, although it has space', async () => {
  const dir = await mounted('nr_inodes=1,size=9m');
  await expect(proveUsable(dir, never)).rejects.toThrow('is full: out of space or out of inodes (df, df -i)');
});

describe.runIf(isRoot)('of another user', () => {
  test('one that may not be written is refused, with who asked', async () => {
    const dir = await tempDir();
    await asNobody(() =>
      expect(proveUsable(dir, never)).rejects.toThrow(/cannot be written by user \d+\. Run the worker as/),
    );
  });

  test('one that may be written, with files that may not, is refused with both users', async () => {
    const dir = await tempDir();
    await chmod(dir, 0o777);
    await writeFile(join(dir, 'node-name'), 'n01');
    await asNobody(() =>
      expect(proveUsable(dir, never)).rejects.toThrow(/was begun by user 0, and this worker runs as user 65534: /),
    );
    await chown(join(dir, 'node-name'), 65_534, 65_534);
    await asNobody(() => proveUsable(dir, never));
  });
});

describe.runIf(canFreeze)('on a disk that stands still', () => {
  async function disk(): Promise<{ dir: string; freeze(): void; thaw(): void }> {
    const at = await tempDir();
    const [image, dir] = [join(at, 'image'), join(at, 'disk')];
    await writeFile(image, '');
    await truncate(image, 4 << 20);
    await mkdir(dir);
    sh('mkfs.ext4', '-q', image);
    sh('mount', '-o', 'loop', image, dir);
    let isFrozen = false;
    const set = (how: '-f' | '-u') => {
      sh('fsfreeze', how, dir);
      isFrozen = how === '-f';
    };
    onTestFinished(() => {
      if (isFrozen) set('-u');
      sh('umount', '-l', dir);
    });
    return { dir, freeze: () => set('-f'), thaw: () => set('-u') };
  }

  test('a worker does not begin', async () => {
    const { dir, freeze, thaw } = await disk();
    freeze();
    let silent = false;
    const proven = proveUsable(dir, () => (silent = true), 200);
    await until(() => silent);
    thaw();
    await proven;
  });

  test('one that runs notices, and not where it was only slow', async () => {
    const { dir, freeze, thaw } = await disk();
    await proveUsable(dir, never);
    let silent = 0;
    onTestFinished(watchDirectory(dir, () => silent++, { everyMs: 20, patience: 30 }));
    freeze();
    await new Promise((resolve) => setTimeout(resolve, 200));
    thaw();
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(silent).toBe(0);
    freeze();
    await until(() => silent > 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(silent).toBe(1);
  });
});

test('a worker whose disk is silent says so and is gone, whatever of it hangs', () => {
  const ends = `import { endSilent } from './workers/data-directory.js'; endSilent('/data'); setInterval(() => {}, 1000)`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', ends];
  const { signal, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', timeout: 20_000 });
  expect({ signal, stderr }).toMatchObject({
    signal: 'SIGKILL',
    stderr: expect.stringMatching(/^PRETRAIN_DATA: \/data does not answer: .*\n$/) as string,
  });
});
