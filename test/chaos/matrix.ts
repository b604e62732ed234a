/** Plays cases one after the other on one cluster, checks each, and prints a row for it. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '../../infra/demo/part.js';
import type { Figure } from './bars.js';
import type { Case } from './cases.js';
import { gather, keepEvidence, lossesOf } from './check.js';
import { startCluster, type Cluster, type Hardware } from './cluster.js';
import { rowOf, type Row } from './invariants.js';
import { play } from './play.js';
import type { Results } from './results.js';

export interface Keep {
  /** Where histories, logs and figures of failed cases go, or of all. */
  dir: string;
  ofAll: boolean;
  /** So many times as long as the bars say is allowed. */
  slack: number;
}

const UNDISTURBED: Case = { name: 'undisturbed', steps: [], lost: 'nothing' };

export async function playMatrix(hardware: Hardware, cases: Case[], results: Results, keep: Keep): Promise<void> {
  print(HEAD);
  for (const row of results.rows) print(lineOf(row));
  let expected: ReadonlyMap<number, string> = new Map();
  let cluster: Cluster | undefined;
  const done = new Set(results.rows.map(({ name }) => name));
  for (const case_ of [UNDISTURBED, ...cases.filter(({ name }) => !done.has(name))]) {
    const { slow = false, sharing = [] } = case_;
    if (cluster && (case_.cold || cluster.slow !== slow || cluster.sharing.join() !== sharing.join())) {
      await cluster.stop();
      cluster = undefined;
    }
    cluster ??= await startCluster(hardware, slow, { sharing });
    const { row, losses } = await tryCase(cluster, case_, expected, keep);
    if (case_ === UNDISTURBED) {
      if (row.problems.length) throw new Error(`the undisturbed run is not sound:\n${row.problems.join('\n')}`);
      expected = losses;
      print(lineOf(row));
      continue;
    }
    print(lineOf(row));
    await results.add(row);
    if (row.problems.length) {
      await abandon(cluster);
      await cluster.stop();
      cluster = undefined;
    } else await cluster.rejoin();
  }
  await cluster?.stop();
}

/** Ends what is still running: who waits for its result would ask again of a connection that is closed, which ends the process. */
async function abandon({ client }: Cluster): Promise<void> {
  for await (const { workflowId } of client.workflow.list({ query: `ExecutionStatus = 'Running'` }))
    await client.workflow
      .getHandle(workflowId)
      .terminate('the case is over')
      .catch(() => undefined);
  await pause(SETTLED_MS);
}

const SETTLED_MS = 1000;

async function tryCase(
  cluster: Cluster,
  case_: Case,
  expected: ReadonlyMap<number, string>,
  keep: Keep,
): Promise<{ row: Row; losses: Map<number, string> }> {
  const evidenceDir = join(keep.dir, case_.name);
  await rm(evidenceDir, { recursive: true, force: true });
  const began = Date.now();
  try {
    const played = await play(cluster, case_);
    const evidence = await gather(cluster, case_, played, expected);
    const row = rowOf(evidence, played.seconds, keep.slack);
    if (row.problems.length || keep.ofAll) await keepEvidence(cluster, evidence, row.problems, evidenceDir);
    return { row, losses: lossesOf(played) };
  } catch (error) {
    // The case itself went wrong, such as a moment that never came: no proof of anything, so not one that held.
    const problems = [`the case was not played: ${error instanceof Error ? error.message : String(error)}`];
    const seconds = (Date.now() - began) / 1000;
    const nothing = { detectedIn: undefined, resumedIn: undefined, pace: {}, iterationsLost: 0, generations: 0 };
    return { row: { name: case_.name, ...nothing, seconds, problems }, losses: new Map() };
  }
}

const COLUMNS = [
  'case',
  'seen in',
  'decided in',
  'resumed in',
  'of that after it',
  'starts in',
  'lost',
  'gens',
  'took',
];
const WIDTHS = [36, 9, 18, 11, 18, 10, 5, 5, 9];
const columns = (texts: string[]): string => texts.map((text, index) => text.padEnd(WIDTHS[index] ?? 0)).join(' ');
const HEAD = columns([...COLUMNS, 'verdict']);

function lineOf({ name, detectedIn, resumedIn, pace, iterationsLost, generations, seconds, problems }: Row): string {
  const took = (value: number | undefined): string => (value === undefined ? '-' : `${value.toFixed(1)} s`);
  const withBar = (figure?: Figure): string =>
    figure?.atMost === undefined ? took(figure?.took) : `${took(figure.took)} (<= ${figure.atMost.toFixed(1)})`;
  const { decided, resumed, startUp } = pace;
  const times = [took(detectedIn), withBar(decided), took(resumedIn), withBar(resumed), took(startUp)];
  return [
    columns([
      name,
      ...times,
      String(iterationsLost),
      String(generations),
      took(seconds),
      problems.length ? 'FAILED' : 'held',
    ]),
    ...problems.map((problem) => `    ${problem}`),
  ].join('\n');
}

export const print = (line: string): void => void process.stdout.write(`${line}\n`);
