/** What strikes in a soak: the faults of the matrix, and those that only a long run sees. */
import { writeFile } from 'node:fs/promises';
import type { Cluster, Machine } from '../cluster.js';
import { faults, type FaultName, type Struck } from '../faults.js';
import type { ObservedRun, Role } from '../observed-run.js';
import type { Releases } from './releases.js';

export interface Site {
  cluster: Cluster;
  releases: Releases;
  /** File with the offset of a host's wall clock, by the host's name. */
  clockOf(host: string): string;
}

/** More than any patience in the run file, less than what a check of the clocks would take for a broken battery. */
const STEP_MS = 3_600_000;

const long = {
  stepClockForth: ({ clockOf }: Site, host: string) => writeFile(clockOf(host), String(STEP_MS)),
  stepClockBack: ({ clockOf }: Site, host: string) => writeFile(clockOf(host), String(-STEP_MS)),
  rightClock: ({ clockOf }: Site, host: string) => writeFile(clockOf(host), '0'),
  upgradeControl: async ({ cluster, releases }: Site) => {
    await releases.next();
    await cluster.worker.kill('SIGTERM');
    await cluster.worker.start();
  },
  /** One after the other, as a service manager does it. */
  upgradeNodes: async ({ cluster, releases }: Site) => {
    await releases.next();
    for (const { agent } of cluster.nodes.values()) {
      await agent.kill('SIGTERM');
      await agent.start();
    }
  },
};

export type SoakFaultName = FaultName | keyof typeof long;

/** The node that a role names now; while the run has none of that part, any node. */
export async function machineOf({ cluster }: Site, run: ObservedRun, role: Role): Promise<Machine> {
  const any = [...cluster.nodes.values()][0]!;
  if (role === 'control') return any;
  return run.nodeOf(role).then(
    (name) => cluster.nodes.get(name) ?? any,
    () => any,
  );
}

export async function strike(site: Site, name: SoakFaultName, struck: Struck, role: Role): Promise<void> {
  if (name in faults) return faults[name as FaultName](struck);
  await long[name as keyof typeof long](site, role === 'control' ? site.cluster.control.name : struck.node.host.name);
}
