/** The workflow types that a person can start, by their names in the CLI and the UI. */
import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';

export { pretrain } from './pretrain.js';
export { prepareData } from './prepare-data.js';
export { prepareGeneration } from './prepare-generation.js';
export { trainGeneration } from './train-generation.js';
export { nodePool } from './node-pool.js';

/** Without this, a mistyped workflow type would run for ever and do nothing. */
export default async function unknownWorkflow(): Promise<never> {
  throw ApplicationFailure.nonRetryable(
    `There is no workflow type "${workflowInfo().workflowType}". The types are pretrain, prepareData, prepareGeneration, trainGeneration and nodePool; a run is started with --type pretrain.`,
    'InvalidInput',
  );
}
