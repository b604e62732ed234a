/** Children have ids that are read from their run's, so those of an earlier run of that id may be in the way. */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { executeChild, ParentClosePolicy, sleep } from '@temporalio/workflow';
import type { Waiting } from './pool-requests.js';

interface Child<I> {
  workflowId: string;
  input: I;
  summary: string;
}

/** Runs a child to its end, and first waits for one that a terminated run left: it is still ending its ranks. */
export async function runChild<I, R>(
  type: (input: I) => Promise<R>,
  { workflowId, input, summary }: Child<I>,
  waiting: Waiting,
): Promise<R> {
  for (;;) {
    try {
      return await executeChild(type, {
        workflowId,
        args: [input],
        staticSummary: summary,
        // A terminated or timed-out run must still end the ranks: its child stops them when it is cancelled.
        parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      });
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      waiting(`${workflowId} of an earlier run, which is still ending`);
      await sleep('5 seconds');
      waiting(undefined);
    }
  }
}
