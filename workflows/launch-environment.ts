/** The environment of ranks that follows from the run file; what a node knows about itself is added there. */
import { recipeFor } from './spec-rules.js';
import type { RunSpec } from './spec.js';

/**
 * Long enough for the slowest node's start: one may still compile helpers or build its index while others wait in the
 * first collective. An event is waited for longer than the operator that it belongs to.
 */
export const HCCL = { HCCL_CONNECT_TIMEOUT: '3600', HCCL_EXEC_TIMEOUT: '3600', HCCL_EVENT_TIMEOUT: '3700' };

export const launchEnvironment = (spec: RunSpec): Record<string, string> => ({
  CUDA_DEVICE_MAX_CONNECTIONS: '1',
  ...HCCL,
  // Both names that the shipped scripts and the guide use for the devices of a node.
  NPUS_PER_NODE: String(spec.cluster.devicesPerNode),
  GPUS_PER_NODE: String(spec.cluster.devicesPerNode),
  ...recipeFor(spec)?.env,
});
