/** A process that launches as a worker would and then lives on: for tests that kill the worker. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { createLaunchTraining } from '../../activities/launch-training.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import type { LaunchTrainingInput } from '../../workflows/contract.js';

const deps = {
  ...(JSON.parse(process.env['DEPS']!) as NodeDeps),
  signal: () => Promise.resolve(),
  retention: () => Promise.resolve(undefined),
};
await new MockActivityEnvironment().run(
  createLaunchTraining(deps),
  JSON.parse(process.env['INPUT']!) as LaunchTrainingInput,
);
process.stdout.write('launched\n');
setInterval(() => undefined, 1000);
