/** Activities of a control worker: what belongs to no node. */
import type { Client } from '@temporalio/client';
import type { ControlActivities } from '../workflows/contract.js';
import { createAskAfterRuns, createLookAtPool } from './ask-after-runs.js';
import { currentRun } from './current-run.js';
import { createWriteReport } from './write-report.js';

export interface ControlDeps {
  client: Client;
  /** Directory for the reports of finished runs. */
  reports: string;
}

export const createControlActivities = ({ client, reports }: ControlDeps): ControlActivities => ({
  writeReport: createWriteReport(reports),
  describeHolder: async ({ workflowId, firstRunId }) => ({
    open: (await currentRun(client, workflowId)) === firstRunId,
  }),
  lookAtPool: createLookAtPool(client),
  askAfterRuns: createAskAfterRuns(client),
});
