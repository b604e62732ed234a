/** Tells the generation under way when it is to end, each time that changes, until it has ended. */
import { condition, getExternalWorkflowHandle, isCancellation, sleep } from '@temporalio/workflow';
import { endGeneration } from './messages.js';
import type { Ending } from './wishes.js';

export async function relayEnding(
  workflowId: string,
  token: number,
  wanted: () => Ending | undefined,
  ended: () => boolean,
): Promise<void> {
  let told: Ending | undefined;
  for (;;) {
    await condition(() => wanted() !== told || ended());
    if (ended()) return;
    const ending = wanted();
    try {
      await getExternalWorkflowHandle(workflowId).signal(endGeneration, { token, ...(ending && { ending }) });
      told = ending;
    } catch (error) {
      if (isCancellation(error)) return;
      // It is not there yet, or just ended.
      await sleep('1 second');
    }
  }
}
