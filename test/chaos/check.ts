/** The independent checker: gathers what a case left in histories, logs and on disks, and judges it. */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { milliseconds } from '../../workflows/duration.js';
import { ITERATIONS, LEASE, SAVE_INTERVAL, type Case } from './cases.js';
import { POOL, type Cluster } from './cluster.js';
import { readHistories } from './histories.js';
import type { Evidence } from './invariants.js';
import type { Played } from './play.js';
import { orphans, poolLeftovers, wrongFiles } from './remains.js';

/** How long ranks may live on where nobody told them to end: until their lease is over, and they are killed. */
const LEASE_ENDS_WITHIN = 15;

export async function gather(
  cluster: Cluster,
  case_: Case,
  played: Played,
  expected: ReadonlyMap<number, string>,
): Promise<Evidence> {
  await cluster.heal();
  const leaseSeconds = milliseconds(case_.lease ?? LEASE) / 1000;
  const histories = await readHistories(cluster.client, played.runs, `pool-${POOL}`);
  const remains = [
    ...(await orphans(cluster, leaseSeconds + LEASE_ENDS_WITHIN)),
    ...(await poolLeftovers(cluster)),
    ...(await wrongFiles(cluster, played, histories.generations.at(-1), case_.exports)),
  ];
  const ofRuns = <T extends object>(list: (recorder: Played['recorders'][number]) => T[]): (T & { run: string })[] =>
    played.recorders.flatMap((recorder, index) =>
      list(recorder).map((item) => ({ ...item, run: played.runs[index]! })),
    );
  return {
    ...histories,
    case: case_,
    played,
    trained: ofRuns(({ trained }) => trained).sort((a, b) => a.at - b.at),
    checkpoints: ofRuns(({ checkpoints }) => checkpoints),
    expected: expected.size > 0 ? expected : lossesOf(played),
    total: ITERATIONS,
    saveInterval: SAVE_INTERVAL,
    remains,
  };
}

/** The losses of an undisturbed run: what every other is measured by. */
export const lossesOf = ({ recorders }: Played): Map<number, string> =>
  new Map(recorders.flatMap(({ trained }) => trained.map(({ iteration, loss }) => [iteration, loss])));

/** Keeps what a person needs to see why a case failed. */
export async function keepEvidence(
  cluster: Cluster,
  evidence: Evidence,
  problems: string[],
  dir: string,
): Promise<void> {
  const { played, trained } = evidence;
  await mkdir(dir, { recursive: true });
  await cp(cluster.logs, join(dir, 'logs'), { recursive: true });
  for (const [name, { host }] of cluster.nodes)
    for (const run of played.runs)
      await cp(join(host.data, 'runs', run), join(dir, 'runs', run, name), { recursive: true }).catch(() => undefined);
  for (const run of played.runs) {
    const handle = cluster.client.workflow.getHandle(run);
    const page = await handle.query<string>('status').catch((error: unknown) => String(error));
    await writeFile(join(dir, `${run}.status.txt`), page);
    const ids = [
      run,
      ...evidence.generations
        .filter((g) => g.run === run)
        .flatMap((g) => [`${run}/prepare-${g.generation}`, `${run}/gen-${g.generation}`]),
    ];
    for (const id of ids) {
      const history = await cluster.client.workflow
        .getHandle(id)
        .fetchHistory()
        .catch(() => undefined);
      await writeFile(join(dir, `${id.replaceAll('/', '_')}.history.json`), JSON.stringify(readable(history), null, 1));
    }
  }
  await writeFile(join(dir, 'seen.json'), JSON.stringify({ problems, strikes: played.strikes, trained }, null, 1));
}

/** A history with its payloads as the JSON they are. */
function readable(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (Array.isArray(value)) return value.map(readable);
  if (typeof value !== 'object' || value === null) return value;
  if ('low' in value && 'high' in value) return Number(value);
  const { eventTime } = value as { eventTime?: { seconds: unknown; nanos: number } };
  const entries = Object.entries(value).filter(([, item]) => item !== null);
  return {
    ...Object.fromEntries(entries.map(([key, item]) => [key, readable(item)])),
    ...(eventTime && { eventTime: new Date(Number(eventTime.seconds) * 1000 + eventTime.nanos / 1e6).toISOString() }),
  };
}
