/** Activities of a control worker: what belongs to no node. */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { ControlActivities } from '../workflows/contract.js';
import { createWriteReport } from './write-report.js';

export interface ControlDeps {
  client: Client;
  /** Directory for the reports of finished runs. */
  reports: string;
}

export const createControlActivities = ({ client, reports }: ControlDeps): ControlActivities => ({
  writeReport: createWriteReport(reports),
  async describeHolder({ workflowId, firstRunId }) {
    try {
      const { status, raw } = await client.workflow.getHandle(workflowId).describe();
      return { open: status.name === 'RUNNING' && raw.workflowExecutionInfo?.firstRunId === firstRunId };
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return { open: false };
      throw error;
    }
  },
});
