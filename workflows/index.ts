/** The workflow types that a person can start, by their names in the CLI and the UI. */
import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import { asPool, partOfRun } from './by-hand.js';
import { nodePool as pool } from './node-pool.js';
import { prepareData as data } from './prepare-data.js';
import { prepareGeneration as preparation } from './prepare-generation.js';
import { trainGeneration as generation } from './train-generation.js';

export { pretrain } from './pretrain.js';
export { reap } from './reap.js';
export const prepareData = partOfRun(data);
export const prepareGeneration = partOfRun(preparation);
export const trainGeneration = partOfRun(generation);
export const nodePool = asPool(pool);

/** Without this, a mistyped workflow type would run for ever and do nothing. */
export default async function unknownWorkflow(): Promise<never> {
  throw ApplicationFailure.nonRetryable(
    `There is no workflow type "${workflowInfo().workflowType}". The types are pretrain, reap, prepareData, prepareGeneration, trainGeneration and nodePool; a run is started with --type pretrain.`,
    'InvalidInput',
  );
}
