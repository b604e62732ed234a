/** Before a launch: nothing older trains on any of the run's nodes, nor can it begin to; and what they hold then. */
import { onNode, peerOf, type NodeInfo } from './contract.js';
import { groupsByName, type Groups } from './islands.js';
import type { PreparationInput } from './preparation.js';
import { infoOf } from './roster.js';
import type { NodeSaves } from './unsealed.js';

interface Fenced {
  /** With their present addresses: a worker may have come back on another port. */
  members: NodeInfo[];
  spares: NodeInfo[];
  /** Those of them that changed. */
  present: NodeInfo[];
  listings: NodeSaves[];
  /** Nodes by the storage of their checkpoints, where only some share it. */
  groups: Groups | undefined;
}

export async function fenceAll({ run, name, spec, token, members, spares }: PreparationInput): Promise<Fenced> {
  const before = [...members, ...spares];
  const input = { token, run, series: spec.series, probe: name, keep: spec.train.keepCheckpoints };
  const fenced = await Promise.all(
    before.map(async ({ name, access: held }) => {
      const known = held === undefined ? input : { ...input, access: held };
      const { checkpoints, saves, access, storage, ...answer } = await onNode(name, spec.recovery).fenceNode(known);
      const node: NodeInfo = { ...infoOf(answer), ...(access !== undefined && { access }) };
      return { node, storage, listing: { peer: peerOf(node), checkpoints, saves } };
    }),
  );
  const now = fenced.map(({ node }) => node);
  return {
    members: now.slice(0, members.length),
    spares: now.slice(members.length),
    present: now.filter((node, index) => JSON.stringify(node) !== JSON.stringify(before[index])),
    listings: fenced.map(({ listing }) => listing),
    groups: groupsByName(fenced.map(({ node: { name }, storage }) => ({ name, storage }))),
  };
}
