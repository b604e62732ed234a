/** Workflows that a run or a node worker starts. Who starts one by hand is answered, as for any mistyped command, and not left waiting. */
import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import type { PoolState } from './roster.js';

const refused = (what: string): ApplicationFailure =>
  ApplicationFailure.nonRetryable(`${what} A run is started with --type pretrain.`, 'InvalidInput');

/** @throws ApplicationFailure `InvalidInput` where no run started it, for an input that no run would give */
export const partOfRun =
  <Input, Result>(workflow: (input: Input) => Promise<Result>) =>
  async (input: Input): Promise<Result> => {
    try {
      return await workflow(input);
    } catch (error) {
      // Within a run the same is a fault of ours, which waits for a worker that has it mended.
      if (workflowInfo().parent || !(error instanceof TypeError)) throw error;
      const { workflowType } = workflowInfo();
      throw refused(
        `${workflowType} is a part of a run, which starts it; this input is not what a run gives (${error.message}).`,
      );
    }
  };

/** @throws ApplicationFailure `InvalidInput` for an id that is no pool's, or what no pool was continued with */
export const asPool =
  (nodePool: (initial?: PoolState) => Promise<never>) =>
  (initial?: PoolState): Promise<never> => {
    const { workflowId } = workflowInfo();
    if (!/^pool-./.test(workflowId))
      throw refused(`nodePool is started by the node workers, as pool-<name>; ${workflowId} is no such id.`);
    const isPool = (state: Partial<PoolState> | null): boolean =>
      areAll(state?.nodes, (node) => typeof node['name'] === 'string') &&
      areAll(state?.waiting, (request) => typeof request['requestId'] === 'string' && isObject(request['holder'])) &&
      typeof state?.token === 'number';
    if (initial !== undefined && !isPool(initial))
      throw refused(`nodePool starts with no input; this is not what a pool continues with.`);
    return nodePool(initial);
  };

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const areAll = (list: unknown, isRight: (one: Record<string, unknown>) => boolean): boolean =>
  Array.isArray(list) && list.every((one) => isObject(one) && isRight(one));
