/** Once a test run: one Temporal server and one workflow bundle, which tests get by `inject('temporalAddress')`. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import type { TestProject } from 'vitest/node';
import { compileEncoder, isBundleFresh, isCompiled, workflowBundle } from '../../infra/setup/build.mjs';
import { createTemporalServer } from '../../infra/demo/temporal-server.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Host and port of a Temporal server that all test files share: use task queues and ids of your own. */
    temporalAddress: string;
    /** The workflows, for a worker's `workflowBundle: { codePath }`. */
    workflowBundlePath: string;
    /** `dist/` is of the sources as they are. */
    isCompiled: boolean;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dir = await mkdtemp(join(tmpdir(), 'pretrain-test-'));
  const running = process.env['TEMPORAL_ADDRESS'];
  const files = { dbFile: join(dir, 'temporal.db'), log: join(dir, 'temporal.log') };
  // Less than half of the usual, since what a test writes to get there keeps all others waiting; more than a run itself waits for.
  const settings = ['limit.historyCount.suggestContinueAsNew=1536'];
  // As with the bundle: vitest alone after an edit must not test what was built before it.
  await compileEncoder();
  const server = running ? undefined : await createTemporalServer({ ...files, settings });
  await server?.start();
  project.provide('temporalAddress', server?.address ?? running!);
  project.provide('workflowBundlePath', await freshBundle(dir));
  project.provide('isCompiled', isCompiled());
  return async () => {
    await server?.kill();
    await rm(dir, { recursive: true, force: true });
  };
}

/** The build's own, so that tests run what ships; made here when somebody runs vitest alone after an edit. */
async function freshBundle(dir: string): Promise<string> {
  if (isBundleFresh()) return workflowBundle;
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../../workflows/index.ts', import.meta.url)),
    logger: new DefaultLogger('WARN'),
  });
  const path = join(dir, 'workflow-bundle.js');
  await writeFile(path, code);
  return path;
}
