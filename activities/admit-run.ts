/** Opens this node's files to a run that does not hold the node: it served the run's series before. */
import type { NodeActivities } from '../workflows/contract.js';
import { grantAccess } from './grants.js';
import type { NodeDeps } from './node-deps.js';

export const createAdmitRun =
  ({ dataDir }: NodeDeps): NodeActivities['admitRun'] =>
  async (input) => ({ access: await grantAccess(dataDir, input) });
