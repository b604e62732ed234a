/** All activities of a node worker. */
import type { NodeActivities } from '../workflows/contract.js';
import { createDataActivities } from './data-activities.js';
import type { NodeDeps } from './node-deps.js';
import { createProcessActivities } from './process-activities.js';

export const createNodeActivities = (deps: NodeDeps): NodeActivities => ({
  ...createDataActivities(deps),
  ...createProcessActivities(deps),
});
