/** Who keeps copies of what while a gang trains, as spares go and come. No effects. */
import { copiesLacking, shareOut, type CopyPlan } from './checkpoints.js';
import { peerOf, type NodeInfo } from './contract.js';
import { joinedBy, type Groups } from './islands.js';
import type { SpareReady } from './messages.js';
import type { NodePlace } from './topology.js';

/** One node's part in every checkpoint of a generation. */
export interface CopyTask {
  name: string;
  node: NodeInfo;
  /** Shards that it writes. */
  seals: string[];
  /** Shards that it keeps copies of. */
  copies: CopyPlan[string];
  /** It has a part in saves after this iteration; absent where that is all that are not replicated yet. */
  after?: number;
}

export interface LaunchedRoles {
  nodes: NodeInfo[];
  spares: NodeInfo[];
  /** What each node writes at a save, by node rank. */
  writes: NodePlace['writes'][];
  copies: CopyPlan;
  /** Nodes by the storage of their checkpoints, where some share it, or all do. */
  storages?: Groups;
  /** Copies that nobody keeps since their node was lost. */
  dropped?: CopyPlan[string];
}

export type CopyRoles = ReturnType<typeof createCopyRoles>;

/** Whose shards each node keeps copies of. */
export const writersOf = (plan: CopyPlan): Record<string, string[]> =>
  Object.fromEntries(
    Object.entries(plan).map(([node, copies]) => [node, [...new Set(copies.map(({ from }) => from.name))]]),
  );

export function createCopyRoles({ nodes, spares, writes, copies, storages, ...before }: LaunchedRoles) {
  const plan: CopyPlan = { ...copies };
  const everyone = [...nodes, ...spares];
  const away = new Set<string>();
  /** They are there, and what they were to keep has failed for a reason of their own. */
  const unable = new Set<string>();
  let groups = storages;
  let isChanged = false;
  let dropped = before.dropped ?? [];

  const present = () => everyone.slice(nodes.length).filter(({ name }) => !away.has(name));
  const written = () =>
    nodes.flatMap((node, rank) => (writes[rank] ?? []).map((shard) => ({ shard, from: peerOf(node) })));
  const isKept = (shard: string) => Object.values(plan).some((kept) => kept.some((copy) => copy.shard === shard));

  return {
    /** All that there ever were, the lost ones too: whom the others ask after. */
    everyone,
    /** Whether it is no longer as it was at the launch. */
    isChanged: () => isChanged,
    /**
     * Of gang and spares, those that write shards or keep copies, by the node's name.
     *
     * @param more after the name: what was done under another one says nothing of these parts
     */
    tasks: (more = ''): CopyTask[] =>
      [...nodes, ...present()]
        .map((node, rank) => ({
          ...{ name: `${node.name}${more}`, node },
          ...{ seals: writes[rank] ?? [], copies: plan[node.name] ?? [] },
        }))
        .filter(({ seals, copies }) => seals.length + copies.length > 0),
    /** Also of one that is lost. */
    isSpare: (name: string): boolean => everyone.slice(nodes.length).some((spare) => spare.name === name),

    /** Others keep what the node of this task kept for it, which is gone or cannot keep it, where some are left: else checkpoints are less safe, but there are some. */
    lose({ name, node, copies }: CopyTask, how: { isGone: boolean }): CopyTask[] {
      isChanged = true;
      away.add(node.name);
      if (!how.isGone) unable.add(node.name);
      const lost = new Set(copies.map(({ shard }) => shard));
      plan[node.name] = (plan[node.name] ?? []).filter(({ shard }) => !lost.has(shard));
      const candidates = everyone.filter((other) => !away.has(other.name) && !unable.has(other.name));
      const shares = shareOut(copies, plan, candidates.map(peerOf), groups);
      const shared = new Set(Object.values(shares).flatMap((more) => more.map(({ shard }) => shard)));
      dropped = [...dropped, ...copies.filter(({ shard }) => !shared.has(shard))];
      return Object.entries(shares).map(([target, more]): CopyTask => {
        plan[target] = [...(plan[target] ?? []), ...more];
        const other = candidates.find((candidate) => candidate.name === target)!;
        return { name: `${target} for ${name}`, node: other, seals: [], copies: more };
      });
    },

    /** @returns what the newcomer keeps, if there is something that lacks a copy */
    gain({ node, replicas, after, beside = [] }: Omit<SpareReady, 'token'>): CopyTask | undefined {
      if ([...nodes, ...present()].some(({ name }) => name === node.name)) return undefined;
      isChanged = true;
      away.delete(node.name);
      const others = everyone.filter(({ name }) => name !== node.name);
      everyone.splice(0, everyone.length, ...others, node);
      groups = joinedBy({ name: node.name, beside }, groups ?? others.map((other) => [other.name]));
      delete plan[node.name];
      // It would fail again, and be replaced by itself.
      if (unable.has(node.name)) return undefined;
      const copies = copiesLacking(peerOf(node), written(), { plan, replicas, ...(groups && { groups }) });
      if (copies.length === 0) return undefined;
      plan[node.name] = copies;
      for (const { shard } of copies) {
        const at = dropped.findIndex((copy) => copy.shard === shard);
        dropped = dropped.filter((_, index) => index !== at);
      }
      return { name: node.name, node, seals: [], copies, after };
    },

    /** Nodes whose shards have fewer copies than was planned since nobody is left to keep them; `alone` of those that have none. */
    uncopied: (): { less: string[]; alone: string[] } => {
      const writers = (of: CopyPlan[string]) => [...new Set(of.map(({ from }) => from.name))];
      const alone = writers(dropped.filter(({ shard }) => !isKept(shard)));
      return { alone, less: writers(dropped).filter((name) => !alone.includes(name)) };
    },

    /** For whoever goes on from here. */
    kept: () => ({ spares: present(), copies: { ...plan }, dropped, ...(groups && { storages: groups }) }),
  };
}
