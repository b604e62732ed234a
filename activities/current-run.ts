/** Which run a workflow id stands for now. */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';

/**
 * The first run id of the run that is open under this id: the same however often it continues as new or is reset.
 * `undefined` when none is open.
 */
export async function currentRun(client: Client, workflowId: string): Promise<string | undefined> {
  try {
    const { status, raw } = await client.workflow.getHandle(workflowId).describe();
    return status.name === 'RUNNING' ? (raw.workflowExecutionInfo?.firstRunId ?? undefined) : undefined;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}
