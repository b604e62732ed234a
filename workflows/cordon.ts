/** What people do to nodes of the pool, and the answer to it. Pure. */
import type { Holder } from './contract.js';
import type { PoolRequest } from './requests.js';
import type { PoolState } from './roster.js';

const HISTORY = 100;

export type PoolAnswer = { refuse: string } | { say: string; ask?: Holder };

/** What a request does and says; changes nothing. */
export function poolAnswer(state: PoolState, { name, node }: PoolRequest): PoolAnswer {
  const known = state.nodes.find((other) => other.name === node);
  if (!known)
    return {
      refuse: `node: expected one of the pool's, ${state.nodes.map((other) => other.name).join(', ')}, got ${JSON.stringify(node)}`,
    };
  const { holder, cordoned } = known;
  if (name === 'uncordon')
    return cordoned
      ? { say: `${node} is given to runs again${holder ? `, when ${holder.workflowId} has given it back` : ''}` }
      : { refuse: `node: ${node} is not cordoned` };
  const already = cordoned ? `${node} was cordoned already, by ${cordoned.who}: ${cordoned.why}. ` : '';
  if (!holder) return { say: `${already}${node} is free, and is given to no run until it is uncordoned` };
  return name === 'cordon'
    ? { say: `${already}${holder.workflowId} keeps ${node}; after that no run gets it until it is uncordoned` }
    : {
        say: `${already}${holder.workflowId} is asked to move away from ${node} at its next checkpoint; its own status says when that is. No run gets the node after that until it is uncordoned`,
        ask: holder,
      };
}

/** Writes it down. */
export function applyToPool(state: PoolState, { name, node, who, why }: PoolRequest, now: number): void {
  const known = state.nodes.find((other) => other.name === node);
  if (!known) return;
  if (name === 'uncordon') delete known.cordoned;
  else known.cordoned ??= { since: now, who, why };
  const what = { cordon: 'cordoned', uncordon: 'uncordoned', drain: 'drained' }[name];
  state.history = [...(state.history ?? []), { at: now, node, what, who, why }].slice(-HISTORY);
}
