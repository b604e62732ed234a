/**
 * `npm run bench -- recovery`: the same faults on the same simulated hosts, for this project and for plain torchrun with
 * elastic restarts: seconds from the fault to the next iteration. A person who follows the guide has a run that stopped.
 *
 *     --rounds 3    how often each
 *     --json        the last line on stdout is one JSON object
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import type { CommandFile } from '../../../activities/generation-files.js';
import type { RunState } from '../../../workflows/status.js';
import { HOST_DECIDED_WITHIN, RANK_DECIDED_WITHIN, RESUMED_WITHIN } from '../../chaos/bars.js';
import { cases, GROUP_TIMEOUT_SECONDS, type Case } from '../../chaos/cases.js';
import { gather } from '../../chaos/check.js';
import { openHardware, startCluster, type Cluster, type Hardware } from '../../chaos/cluster.js';
import { rowOf } from '../../chaos/invariants.js';
import { program } from '../../../workers/program.js';
import { onHosts } from '../../chaos/on-hosts.js';
import { play, type Played } from '../../chaos/play.js';
import { recoverByTorchrun } from './torchrun.js';

export type Fault = 'rank killed' | 'host lost';

/** Seconds from the fault; a figure that is missing never came. */
export interface Recovered {
  decided?: number;
  next?: number;
  /** Iterations that were trained again. */
  lost?: number;
}

interface Comparison {
  fault: Fault;
  ours: Recovered[];
  torchrun: Recovered[];
}

const readOptions = () =>
  parseArgs({
    options: { rounds: { type: 'string', default: '3' }, json: { type: 'boolean', default: false } },
  }).values;

const FAULTS: { fault: Fault; case: string; decideWithin: number }[] = [
  { fault: 'rank killed', case: 'rank-killed', decideWithin: RANK_DECIDED_WITHIN },
  { fault: 'host lost', case: 'host-lost', decideWithin: HOST_DECIDED_WITHIN },
];
/** The iteration at which faults of the matrix strike. */
const STRIKES_AT = 30;

async function inside(prefix: string, dir: string): Promise<number> {
  const { rounds, json } = readOptions();
  const hardware = await openHardware(prefix, dir);
  const undisturbed = await playHere(hardware, { name: 'undisturbed', steps: [], lost: 'nothing' });
  const command = await commandOf(hardware, undisturbed.played);
  say(
    `the trainer starts in ${undisturbed.startUp.toFixed(1)} s; its process groups give up a silent peer after ${GROUP_TIMEOUT_SECONDS} s\n`,
  );
  const rows: Comparison[] = FAULTS.map(({ fault }) => ({ fault, ours: [], torchrun: [] }));
  for (let round = 0; round < Number(rounds); round++)
    for (const [index, { fault, case: name }] of FAULTS.entries()) {
      const row = rows[index]!;
      row.ours.push(
        (
          await playHere(
            hardware,
            cases.find((case_) => case_.name === name)!,
          )
        ).recovered,
      );
      const at = { fault, atIteration: STRIKES_AT };
      row.torchrun.push(await recoverByTorchrun(hardware.nodes, command, join(dir, `torchrun-${round}-${index}`), at));
      say(`round ${round + 1}, ${fault}: ours ${told(row.ours.at(-1)!)}; torchrun ${told(row.torchrun.at(-1)!)}`);
    }
  say(
    `\n${columns(['fault', 'ours: decided', 'next iteration', 'lost', 'torchrun: next iteration', 'lost', 'by hand'])}`,
  );
  for (const { fault, ours, torchrun } of rows)
    say(
      columns([
        fault,
        ...['decided', 'next', 'lost'].map((key) => middle(ours, key as 'next')),
        middle(torchrun, 'next'),
        middle(torchrun, 'lost'),
        'stopped',
      ]),
    );
  const held = FAULTS.map(({ decideWithin }, index) => {
    const { ours } = rows[index]!;
    const resumed = ours.every(
      ({ decided = Infinity, next = Infinity }) => next - decided - undisturbed.startUp <= RESUMED_WITHIN,
    );
    return ours.every(({ decided = Infinity }) => decided <= decideWithin) && resumed;
  });
  say(
    `\nbars: ${FAULTS.map(({ fault, decideWithin }, index) => `${fault} decided within ${decideWithin} s and training ${RESUMED_WITHIN} s above the start-up after that: ${held[index] ? 'held' : 'NOT held'}`).join('; ')}`,
  );
  if (json) say(JSON.stringify({ startUp: undisturbed.startUp, rows, held }));
  return held.every(Boolean) ? 0 : 1;
}

interface PlayedHere {
  played: Played;
  recovered: Recovered;
  /** Seconds from the launch of the first generation to its first iteration. */
  startUp: number;
}

/** A case of the fault matrix on a fresh cluster; throws when an invariant of the matrix is broken. */
async function playHere(hardware: Hardware, case_: Case): Promise<PlayedHere> {
  const cluster = await startCluster(hardware, false);
  try {
    const played = await play(cluster, case_);
    const evidence = await gather(cluster, case_, played, new Map());
    const { resumedIn, iterationsLost, problems } = rowOf(evidence, played.seconds);
    if (problems.length) throw new Error(`${case_.name}: ${problems.join('\n')}`);
    const first = evidence.generations[0]!;
    const launched = evidence.trained.find(({ generation }) => generation === 1)!;
    return {
      played,
      startUp: (launched.at - first.startedAt) / 1000,
      recovered: {
        ...(resumedIn !== undefined && { next: resumedIn, lost: iterationsLost }),
        ...(await decidedIn(cluster, played)),
      },
    };
  } finally {
    await cluster.stop();
  }
}

async function decidedIn({ client }: Cluster, { id, strikes }: Played): Promise<Pick<Recovered, 'decided'>> {
  const { failures } = await client.workflow.getHandle(id).query<RunState>('runState');
  const [strike, failure] = [strikes[0], failures[0]];
  return strike && failure ? { decided: (failure.at - strike.at) / 1000 } : {};
}

/** What the first node ran in its last launch. */
async function commandOf({ nodes: [node] }: Hardware, { id }: Played): Promise<CommandFile> {
  const run = join(node!.data, 'runs', id);
  const launches = (await readdir(run)).filter((name) => name.startsWith('gen-'));
  return JSON.parse(await readFile(join(run, launches.at(-1)!, 'command.json'), 'utf8')) as CommandFile;
}

const seconds = (value: number | undefined): string => (value === undefined ? 'never' : `${value.toFixed(1)} s`);
const told = ({ next, lost }: Recovered): string =>
  `${seconds(next)}${lost === undefined ? '' : `, ${lost} iterations lost`}`;
const columns = (cells: string[]): string =>
  cells.map((cell, index) => cell.padEnd([13, 15, 16, 6, 26, 6][index] ?? 0)).join('');

function middle(rows: Recovered[], key: keyof Recovered): string {
  const value = rows.map((row) => row[key] ?? Infinity).sort((a, b) => a - b)[Math.floor(rows.length / 2)]!;
  if (key === 'lost') return value === Infinity ? '-' : String(value);
  return seconds(value === Infinity ? undefined : value);
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

program(async () => {
  readOptions();
  process.exit(await onHosts(fileURLToPath(import.meta.url), inside));
});
