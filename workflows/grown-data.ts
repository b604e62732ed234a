/** Of data that has grown only what is new is made: what the dataset begins with is looked for on the nodes. */
import { onNode, type Artifact, type LineageFound, type NodeInfo, type Timing } from './contract.js';

/** A dataset that the wanted one begins with. */
export interface Base {
  artifact: Artifact;
  /** How many of the wanted files are in it. */
  files: number;
  /** Nodes that have it and proved it just now. */
  at: NodeInfo[];
}

/** @param names of lineages, by the number of files: `names[0]` stands for the first alone */
export async function findBase(
  answers: { node: NodeInfo; lineages?: LineageFound[] }[],
  names: string[],
  timing: Timing,
): Promise<Base | undefined> {
  for (const { artifact, files, at } of candidates(answers, names)) {
    const holds = async (node: NodeInfo) =>
      (await onNode(node.name, timing).findArtifact({ dir: artifact.dir, prove: true })).artifact?.digest ===
      artifact.digest;
    const proven = await Promise.all(at.map(holds));
    const holders = at.filter((_, index) => proven[index]);
    if (holders.length) return { artifact, files, at: holders };
  }
  return undefined;
}

/** Those of most files first. */
function candidates(answers: { node: NodeInfo; lineages?: LineageFound[] }[], names: string[]): Base[] {
  const found = new Map<string, Base>();
  for (const { node, lineages = [] } of answers)
    for (const { name, artifact } of lineages) {
      const files = names.indexOf(name) + 1;
      if (files === 0) continue;
      const id = `${artifact.dir} ${artifact.digest}`;
      const known = found.get(id);
      if (known) known.at.push(node);
      else found.set(id, { artifact, files, at: [node] });
    }
  return [...found.values()].sort((a, b) => b.files - a.files);
}
