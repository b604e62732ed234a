/** Plays the schedule of a soak: each strike at its time, its repair, and what brings everything back after it. */
import { pause } from '../../../infra/demo/part.js';
import type { Runs } from './runs.js';
import type { Strike } from './schedule.js';
import { machineOf, strike, type Site } from './strike.js';

/**
 * What takes longer than it was to, as on a busy machine, delays what comes after it.
 *
 * @param seconds after which nothing strikes any more
 * @returns faults that found nothing to strike, and why
 */
export async function strikeAll(site: Site, runs: Runs, schedule: Strike[], seconds: number): Promise<string[]> {
  const began = Date.now();
  let late = 0;
  const missed: string[] = [];
  const tried = (what: string, doing: Promise<void>): Promise<void> =>
    doing.catch(
      (error: unknown) => void missed.push(`${what}: ${error instanceof Error ? error.message : String(error)}`),
    );
  for (const { at, do: fault, to, repair } of schedule) {
    await pause(Math.max(0, began + at * 1000 + late - Date.now()));
    if (Date.now() > began + seconds * 1000) break;
    const run = runs.current();
    if (!run) continue;
    const node = await machineOf(site, run, to);
    const struck = { cluster: site.cluster, run, node };
    const name = to === 'control' ? 'control' : node.host.name;
    const generation = run.recorder.generation();
    const moment = { at: Date.now(), generation, iteration: run.recorder.reached(generation) };
    runs.played.strikes.push({ fault, node: name, ...moment });
    await tried(`${fault} on ${name}`, strike(site, fault, struck, to));
    if (repair) {
      await pause(repair.afterSeconds * 1000);
      await tried(`${repair.by} on ${name}`, strike(site, repair.by, struck, to));
      await tried('heal', site.cluster.heal());
    }
    await tried('rejoin', site.cluster.rejoin());
    late = Math.max(late, Date.now() - began - (at + (repair?.afterSeconds ?? 0)) * 1000);
  }
  return missed;
}
