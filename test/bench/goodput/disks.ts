/** Which node's disk holds which shard of which save, and what the pipeline's own rule makes of it. */
import { newestComplete, type NodeListing } from '../../../workflows/checkpoints.js';

/** One save of one launch. */
export interface Save {
  iteration: number;
  token: number;
}

const keyOf = ({ iteration, token }: Save) => `${iteration}/${token}`;

export type Disks = ReturnType<typeof createDisks>;

export function createDisks(shards: string[]) {
  /** By save and shard: who has it. */
  const saves = new Map<string, Save & { holders: Map<string, Set<string>> }>();

  function put(save: Save, shard: string, node: string): void {
    const known = saves.get(keyOf(save)) ?? { ...save, holders: new Map<string, Set<string>>() };
    saves.set(keyOf(save), known);
    (known.holders.get(shard) ?? known.holders.set(shard, new Set()).get(shard)!).add(node);
  }

  return {
    put,
    /** Of `alive`; one holder a shard says as much as all of them. */
    newest(alive: (node: string) => boolean): Save | undefined {
      const byNode = new Map<string, NodeListing>();
      for (const { iteration, token, holders } of saves.values())
        for (const [shard, nodes] of holders) {
          const node = first(nodes, alive);
          if (node === undefined) continue;
          const listing = byNode.get(node) ?? { peer: { name: node, url: '' }, checkpoints: [] };
          byNode.set(node, listing);
          const held = { shard, digest: `${shard} of ${token}`, bytes: 1, token };
          listing.checkpoints.push({ iteration, shards: [held] });
        }
      const found = newestComplete([...byNode.values()], shards);
      const token = found && Object.values(found.shards)[0]!.digest.split(' ').at(-1);
      return found && { iteration: found.iteration, token: Number(token) };
    },
    /** What is newer than what training goes on from is set aside, on these nodes; elsewhere it is out of reach. */
    setAside(after: number, nodes: Set<string>): void {
      for (const { iteration, holders } of saves.values())
        if (iteration > after) for (const there of holders.values()) remove(there, (node) => nodes.has(node));
    },
    /** Nodes keep the newest `keep` that are replicated. */
    prune(replicated: number[], keep: number): void {
      const oldest = [...new Set(replicated)].sort((a, b) => b - a)[keep - 1] ?? 0;
      for (const [key, { iteration }] of saves) if (iteration < oldest) saves.delete(key);
    },
    wipe(node: string): void {
      for (const { holders } of saves.values()) for (const there of holders.values()) there.delete(node);
    },
  };
}

function remove(names: Set<string>, isGone: (name: string) => boolean): void {
  for (const name of names) if (isGone(name)) names.delete(name);
}

function first(names: Set<string>, fits: (name: string) => boolean): string | undefined {
  for (const name of names) if (fits(name)) return name;
  return undefined;
}
