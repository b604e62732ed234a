/** Where the time of a simulated run goes, and the next of what happens by itself. */
import type { Crew } from './crew.js';
import type { Draw, NextFault } from './draws.js';

export const PHASES = [
  ...(['training', 'lost work', 'saves', 'detection', 'decision', 'start-up', 'waiting', 'person'] as const),
] as const;
export type Phase = (typeof PHASES)[number];

export type NodeSeconds = Record<'gang' | 'spare' | 'free' | 'out', number>;

export type Clock = ReturnType<typeof createClock>;

export function createClock(crew: Crew, faults: NextFault, horizon: number) {
  const spent = Object.fromEntries(PHASES.map((phase) => [phase, 0])) as Record<Phase, number>;
  /** Node-seconds by where nodes were, counted on the pool's side. */
  const nodeSeconds: NodeSeconds = { gang: 0, spare: 0, free: 0, out: 0 };
  let now = 0;

  return {
    spent,
    nodeSeconds,
    get now() {
      return now;
    },
    isOver: () => now >= horizon,
    /** Until then, or until a fault strikes, which is answered; what nodes and pool do meanwhile is done. */
    advance(until: number, phase: Phase, stop: () => boolean = () => false): Draw | undefined {
      const end = Math.min(until, horizon);
      while (now < end && !stop()) {
        const at = Math.min(end, crew.nextAt(now), faults.at(now));
        const counts = crew.count();
        for (const key of Object.keys(counts) as (keyof typeof counts)[]) nodeSeconds[key] += counts[key] * (at - now);
        spent[phase] += at - now;
        const struck = faults.pass(now, at);
        now = at;
        crew.handle(now);
        if (struck) return struck;
      }
      return undefined;
    },
  };
}
