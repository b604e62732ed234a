/** What the pool says: to people who ask it for something, and to runs that wait. */
import { ApplicationFailure, getExternalWorkflowHandle, log, setHandler } from '@temporalio/workflow';
import type { Holder } from './contract.js';
import { applyToPool, poolAnswer } from './cordon.js';
import { defineRequest, nodeWanted, placeInLine } from './messages.js';
import { placeOf } from './pool-page.js';
import { POOL_UPDATES, readPoolRequest, type PoolRequest } from './requests.js';
import { giveBack, type PoolState } from './roster.js';

/** Whichever execution of the run is the current one: it is another after a reset. */
export const to = ({ workflowId }: Holder) => getExternalWorkflowHandle(workflowId);

/** @returns what holders of drained nodes are being told */
export function handlePoolUpdates(state: PoolState, onChange: () => void): ReadonlySet<Promise<void>> {
  const telling = new Set<Promise<void>>();
  for (const name of ['cordon', 'uncordon', 'drain'] as const) handleUpdate(state, name, onChange, telling);
  return telling;
}

/** Checked before it is on record, and answered at once, from what the pool knows. */
function handleUpdate(
  state: PoolState,
  name: PoolRequest['name'],
  onChange: () => void,
  telling: Set<Promise<void>>,
): void {
  const answerTo = (input: unknown) => {
    const read = readPoolRequest(name, input);
    if ('wrong' in read) throw ApplicationFailure.nonRetryable(read.wrong, 'InvalidInput');
    const answer = poolAnswer(state, read.request);
    if ('refuse' in answer) throw ApplicationFailure.nonRetryable(`${name}: ${answer.refuse}`, 'InvalidInput');
    return { request: read.request, ...answer };
  };
  const handler = (input: unknown): string => {
    const { request, say, ask } = answerTo(input);
    applyToPool(state, request, Date.now());
    const { node, who, why } = request;
    if (ask) {
      const told = to(ask)
        .signal(nodeWanted, { node, who, why })
        .catch((error: unknown) => {
          log.warn('the holder of a drained node is gone: its nodes are free again', { node, error: String(error) });
          giveBack(state, ask);
          onChange();
        })
        .finally(() => telling.delete(told));
      telling.add(told);
    }
    onChange();
    return say;
  };
  setHandler(defineRequest(name), handler, {
    validator: (input) => void answerTo(input),
    description: POOL_UPDATES[name],
  });
}

/** Whoever waits hears of its place when that changes, so that its own page can say it. */
export async function tellPlaces(state: PoolState, told: Map<string, string>): Promise<void> {
  const { waiting } = state;
  for (const known of told.keys()) if (!waiting.some(({ requestId }) => requestId === known)) told.delete(known);
  await Promise.all(
    waiting.map(async (request) => {
      const { requestId, holder } = request;
      const text = placeOf(state, request, Date.now());
      if (told.get(requestId) === text) return;
      told.set(requestId, text);
      // Whoever is gone is found by asking after holders.
      await to(holder)
        .signal(placeInLine, { requestId, text })
        .catch(() => undefined);
    }),
  );
}
