/** Who keeps copies of what in a generation, by the pipeline's own plan, also after a spare is lost. */
import { planCopies, shareOut, type CopyPlan } from '../../../workflows/checkpoints.js';
import type { NodePlace } from '../../../workflows/topology.js';
import type { Disks, Save } from './disks.js';

const peer = (name: string) => ({ name, url: '' });
const slots = (kind: string, count: number) => Array.from({ length: count }, (_, index) => peer(`${kind}${index}`));

/** Plans by the number of spares, which is all that they depend on. */
export function createPlans(places: NodePlace[], replicas: number) {
  const plans = new Map<number, CopyPlan>();
  const members = slots('m', places.length);
  return (spares: number): CopyPlan => {
    const plan = plans.get(spares) ?? planCopies(places, members, slots('s', spares), replicas);
    plans.set(spares, plan);
    return plan;
  };
}

export type Copies = ReturnType<typeof createCopies>;

export function createCopies(base: CopyPlan, places: NodePlace[], members: string[], spares: string[], disks: Disks) {
  const nameOf = new Map([
    ...members.map((name, rank): [string, string] => [`m${rank}`, name]),
    ...spares.map((name, index): [string, string] => [`s${index}`, name]),
  ]);
  const plans = [{ since: 0, plan: base }];
  return {
    /** @param at seconds since the generation began to train */
    loseSpare(name: string, at: number): void {
      const { plan } = plans.at(-1)!;
      const slot = [...nameOf].find(([, other]) => other === name)?.[0];
      const { [slot ?? '']: orphans, ...rest } = plan;
      if (!orphans) return;
      const shares = shareOut(orphans, rest, Object.keys(rest).map(peer));
      for (const [target, more] of Object.entries(shares)) rest[target] = [...(rest[target] ?? []), ...more];
      plans.push({ since: at, plan: rest });
    },
    /** Writes a save down where it is: with its writers, and once copied with those that copy. */
    keep(save: Save, copiedAt: number | undefined): void {
      for (const { nodeRank, writes } of places) for (const shard of writes) disks.put(save, shard, members[nodeRank]!);
      const then = copiedAt === undefined ? undefined : plans.findLast(({ since }) => since <= copiedAt);
      for (const [slot, copies] of Object.entries(then?.plan ?? {}))
        for (const { shard } of copies) disks.put(save, shard, nameOf.get(slot)!);
    },
  };
}
