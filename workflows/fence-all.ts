/** Before a launch: nothing older trains on any of the run's nodes, nor can it begin to. */
import { onNode, type NodeInfo } from './contract.js';
import type { PreparationInput } from './preparation.js';
import { infoOf } from './roster.js';

/** Also takes the nodes' present addresses: a worker may have come back on another port. `present` is those that changed. */
export async function fenceAll({ run, spec, token, members, spares }: PreparationInput): Promise<{
  members: NodeInfo[];
  spares: NodeInfo[];
  present: NodeInfo[];
}> {
  const before = [...members, ...spares];
  const now = await Promise.all(
    before.map(async ({ name }): Promise<NodeInfo> => {
      const answer = await onNode(name, spec.recovery).fenceNode({ token, run, series: spec.series });
      return { ...infoOf(answer), ...(answer.access !== undefined && { access: answer.access }) };
    }),
  );
  const present = now.filter((node, index) => JSON.stringify(node) !== JSON.stringify(before[index]));
  return { members: now.slice(0, members.length), spares: now.slice(members.length), present };
}
