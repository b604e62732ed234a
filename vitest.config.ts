import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** Real training, real clusters, and nobody who watches the time: more than half of theirs is waiting. */
const REFERENCE = [
  'test/reference-backend/**/*.test.ts',
  'test/e2e/{fsdp2,lost-and-found,metrics,npu-run,shared-storage}.test.ts',
];
/** They wait for heartbeats, kill and measure: with machines' worth of processes of their own, one at a time. */
const CLUSTERS = ['test/e2e/**/*.test.ts', 'test/chaos/**/*.test.ts'];

const common = {
  // Processes, not threads: the Temporal worker's native part is one a process.
  pool: 'forks',
  // Only for what hangs: on two busy cores the longest of those without a limit of their own take most of a minute.
  testTimeout: 120_000,
  hookTimeout: 120_000,
  expect: { poll: { timeout: 60_000 } },
  alias: [
    // As activities name it, which start programs of their own.
    {
      find: /^\.\.?\/(\.\.\/)*own-program\.js$/,
      replacement: fileURLToPath(new URL('test/support/own-program.ts', import.meta.url)),
    },
  ],
} as const;

/** One more than the cores of a small machine: whoever waits for a process, a server or a limit of time leaves a core idle. */
const beside = { ...common, maxWorkers: 3, sequence: { groupOrder: 0 } };

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    projects: [
      { test: { ...beside, name: 'parts', include: ['test/**/*.test.ts'], exclude: [...CLUSTERS, ...REFERENCE] } },
      { test: { ...beside, name: 'reference', include: REFERENCE } },
      {
        test: {
          ...common,
          name: 'clusters',
          include: CLUSTERS,
          exclude: REFERENCE,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
