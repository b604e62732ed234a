import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** They wait for heartbeats, kill and measure: with machines' worth of processes of their own, one at a time. */
const CLUSTERS = ['test/e2e/**/*.test.ts', 'test/chaos/**/*.test.ts'];
/** Real training too, but with nobody who watches the time: half of theirs is waiting. */
const REFERENCE = ['test/reference-backend/**/*.test.ts'];

const common = {
  // Processes, not threads: the Temporal worker's native part is one a process.
  pool: 'forks',
  testTimeout: 60_000,
  hookTimeout: 60_000,
  alias: [
    // As activities name it, which start programs of their own.
    {
      find: /^\.\.?\/(\.\.\/)*own-program\.js$/,
      replacement: fileURLToPath(new URL('test/support/own-program.ts', import.meta.url)),
    },
  ],
} as const;

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    projects: [
      {
        test: {
          ...common,
          name: 'parts',
          include: ['test/**/*.test.ts'],
          exclude: [...CLUSTERS, ...REFERENCE],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      { test: { ...common, name: 'reference', include: REFERENCE, maxWorkers: 2, sequence: { groupOrder: 1 } } },
      { test: { ...common, name: 'clusters', include: CLUSTERS, maxWorkers: 1, sequence: { groupOrder: 2 } } },
    ],
  },
});
