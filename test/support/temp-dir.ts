import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished, type TestContext } from 'vitest';

/** A directory, and what removes it. */
export async function tempFolder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'pretrain-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/**
 * A directory that lasts as long as the test that asked for it.
 * @param test of tests that run at once: else it may go with another of them
 */
export async function tempDir(test: Pick<TestContext, 'onTestFinished'> = { onTestFinished }): Promise<string> {
  const { path, remove } = await tempFolder();
  test.onTestFinished(remove);
  return path;
}
