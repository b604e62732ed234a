/** What people do to nodes of the pool, and the answer to it. Pure. */
import type { Holder } from './contract.js';
import { liftQuarantine } from './quarantine.js';
import type { PoolRequest } from './requests.js';
import { noteHistory, type PoolNode, type PoolState } from './roster.js';

export type PoolAnswer = { refuse: string } | { say: string; ask?: Holder };

/** What a request does and says; changes nothing. */
export function poolAnswer(state: PoolState, { name, node }: PoolRequest): PoolAnswer {
  const known = state.nodes.find((other) => other.name === node);
  if (!known)
    return {
      refuse: `node: expected one of the pool's, ${state.nodes.map((other) => other.name).join(', ')}, got ${JSON.stringify(node)}`,
    };
  const { holder, cordoned, quarantined } = known;
  if (name === 'uncordon')
    return cordoned || quarantined
      ? { say: againGiven(known) }
      : { refuse: `node: ${node} is neither cordoned nor in quarantine` };
  const already = cordoned ? `${node} was cordoned already, by ${cordoned.who}: ${cordoned.why}. ` : '';
  const how = quarantined ? 'in quarantine' : 'free';
  if (!holder) return { say: `${already}${node} is ${how}, and is given to no run until it is uncordoned` };
  return name === 'cordon'
    ? { say: `${already}${holder.workflowId} keeps ${node}; after that no run gets it until it is uncordoned` }
    : {
        say: `${already}${holder.workflowId} is asked to move away from ${node} at its next checkpoint; its own status says when that is. No run gets the node after that until it is uncordoned`,
        ask: holder,
      };
}

function againGiven({ name, holder, quarantined, away }: PoolNode): string {
  const lifted = quarantined
    ? `the quarantine of ${name} is lifted, and what its hardware did is forgotten (${quarantined.reason}). `
    : '';
  const when = holder ? `, when ${holder.workflowId} has given it back` : away ? ', when it answers' : '';
  return `${lifted}${name} is given to runs again${when}`;
}

/** Writes it down. */
export function applyToPool(state: PoolState, { name, node, who, why }: PoolRequest, now: number): void {
  const known = state.nodes.find((other) => other.name === node);
  if (!known) return;
  if (name === 'uncordon') {
    delete known.cordoned;
    liftQuarantine(state, node);
  } else known.cordoned ??= { since: now, who, why };
  const what = { cordon: 'cordoned', uncordon: 'uncordoned', drain: 'drained' }[name];
  noteHistory(state, { at: now, node, what, who, why });
}
