/**
 * `npm run bench -- replication`: how much longer a step takes while a checkpoint is hashed and copied to another node. A
 * real training on the reference backend, two nodes with one pipeline stage each; after one save the real activity hashes
 * and copies it both ways, after the next nothing does, in pairs whose order alternates. Step times are those of the
 * training log, compared for as long as copying took.
 *
 *     --pairs 12       how many pairs; the first is a warm-up and does not count
 *     --interval 10    iterations from save to save
 *     --hidden 384     width of the model: 384 makes checkpoints of some 100 MB a node
 *     --minutes 10     ends by then with the pairs that there are
 *     --json           the last line on stdout is one JSON object
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { checkpointsIn } from '../../../activities/list-checkpoints.js';
import { pause } from '../../../activities/process.js';
import { checkpointsDir } from '../../../workflows/plan.js';
import type { Peer } from '../../../workflows/contract.js';
import { middleOf, pairOf, type Middle, type Pair, type Stretch } from './figures.js';
import type { Answer, Order } from './node-part.js';
import { SERIES } from './series.js';
import { startTraining, type Training } from './training.js';

const MAX_RATIO = 1.1;
/** Fewer say nothing at 95 %. */
const FEWEST_PAIRS = 6;
const LOOK_EVERY_MS = 50;
const SHARDS = ['mp_rank_00_000', 'mp_rank_00_001'];

const { values } = parseArgs({
  options: {
    pairs: { type: 'string', default: '12' },
    interval: { type: 'string', default: '10' },
    hidden: { type: 'string', default: '384' },
    minutes: { type: 'string', default: '10' },
    json: { type: 'boolean', default: false },
  },
});

interface Part {
  peer: Peer;
  process: ChildProcess;
}

async function startPart(name: string, dataDir: string): Promise<Part> {
  const child = fork(fileURLToPath(new URL('./node-part.ts', import.meta.url)), [name, dataDir], {
    execArgv: ['--import', 'tsx'],
  });
  return { peer: (await answerOf(child)) as Peer, process: child };
}

async function answerOf(child: ChildProcess): Promise<Answer> {
  const gone = new AbortController();
  const end = () => gone.abort(new Error('a node of the bench ended'));
  child.once('exit', end);
  try {
    return ((await once(child, 'message', { signal: gone.signal })) as [Answer])[0];
  } catch (error) {
    throw gone.signal.aborted ? (gone.signal.reason as Error) : error;
  } finally {
    child.off('exit', end);
  }
}

/** Resolves when every node is done with this save: it has both shards, or has only removed older ones. */
async function afterSave(parts: Part[], iteration: number, before: number, isCopied: boolean): Promise<void> {
  await Promise.all(
    parts.map(({ process }, rank) => {
      const [own, other] = [SHARDS[rank]!, SHARDS[1 - rank]!];
      const order: Order = {
        ...{ isCopied, after: before, until: iteration, master: parts[0]!.peer, seals: [own] },
        copies: [{ shard: other, from: parts[1 - rank]!.peer }],
      };
      const done = answerOf(process);
      process.send(order);
      return done;
    }),
  );
}

/** @throws Error when copying takes longer than from save to save: what follows would be no stretch without it */
async function playStretches(training: Training, parts: Part[], pairs: number, endAt: number): Promise<Stretch[]> {
  const stretches: Stretch[] = [];
  for (let before = 0; stretches.length < 2 * pairs && Date.now() < endAt;) {
    const iteration = await training.saved();
    if (iteration === before) {
      await pause(LOOK_EVERY_MS);
      continue;
    }
    const [pair, place] = [Math.floor(stretches.length / 2), stretches.length % 2];
    const isCopied = pair % 2 === place;
    const began = performance.now();
    await Promise.race([afterSave(parts, iteration, before, isCopied), tooLate(training, iteration)]);
    const copiedForMs = isCopied ? performance.now() - began : undefined;
    stretches.push({ iteration, copiedForMs });
    const what = isCopied ? `copied in ${(copiedForMs! / 1000).toFixed(1)} s` : 'not copied';
    say(`iteration ${String(iteration).padStart(4)}: ${what}, load ${loadavg()[0]!.toFixed(1)}`);
    before = iteration;
  }
  return stretches;
}

async function tooLate(training: Training, iteration: number): Promise<never> {
  await untilSaveAfter(training, iteration);
  throw new Error(`iteration ${iteration} was not hashed and copied before the next save: give it a longer --interval`);
}

async function untilSaveAfter(training: Training, iteration: number): Promise<void> {
  while ((await training.saved()) <= iteration) await pause(LOOK_EVERY_MS);
}

/** Under SCHED_IDLE, which children have from this process, the kernel gives all the same weight. */
async function isIdlePolicy(): Promise<boolean> {
  const fields = (await readFile('/proc/self/stat', 'utf8')).split(') ')[1]!.split(' ');
  return fields[38] === '5';
}

async function replication(): Promise<boolean> {
  const [pairs, interval, hidden] = [values.pairs, values.interval, values.hidden].map(Number) as [
    number,
    number,
    number,
  ];
  const endAt = Date.now() + Number(values.minutes) * 60_000;
  const isIdle = await isIdlePolicy();
  if (isIdle) say('this shell has the idle policy, under which niceness counts for nothing: no figure below is one\n');
  const training = await startTraining({ hidden, every: interval });
  const parts: Part[] = [];
  try {
    for (const [rank, node] of training.nodes.entries()) parts.push(await startPart(`n${rank + 1}`, node));
    const stretches = await Promise.race([playStretches(training, parts, pairs, endAt), training.ended]);
    await Promise.race([untilSaveAfter(training, stretches.at(-1)?.iteration ?? 0), training.ended]);
    const stepMs = await training.steps();
    const bytes = await bytesOf(training.nodes[0]!);
    return report(pairsIn(stretches, stepMs, interval).slice(1), stretches, { bytes, isIdle });
  } finally {
    for (const { process } of parts) process.kill('SIGKILL');
    await training.close();
  }
}

function pairsIn(stretches: Stretch[], stepMs: Map<number, number>, interval: number): Pair[] {
  return Array.from({ length: Math.floor(stretches.length / 2) }, (_, index) =>
    pairOf(stepMs, [stretches[2 * index]!, stretches[2 * index + 1]!], interval),
  );
}

/** Of the newest checkpoint that is whole on a node, all shards together. */
async function bytesOf(node: string): Promise<number> {
  const held = (await checkpointsIn(node, checkpointsDir(SERIES))).findLast(
    ({ shards }) => shards.length === SHARDS.length,
  );
  return (held?.shards ?? []).reduce((sum, { bytes }) => sum + bytes, 0);
}

function report(pairs: Pair[], stretches: Stretch[], facts: { bytes: number; isIdle: boolean }): boolean {
  if (pairs.length < FEWEST_PAIRS)
    throw new Error(`${pairs.length} pairs are not enough for an interval: give it more --minutes`);
  const beside = middleOf(pairs.map((pair) => pair.beside));
  const overall = middleOf(pairs.map((pair) => pair.overall));
  const seconds = middleOf(stretches.slice(2).flatMap(({ copiedForMs: ms }) => (ms === undefined ? [] : [ms / 1000])));
  const steps = middleOf(pairs.map((pair) => pair.steps));
  say(
    `\n${pairs.length} pairs on ${cpus().length} cores, checkpoints of ${(facts.bytes / 1e6).toFixed(0)} MB on two nodes`,
  );
  say(`time of a step while copying, over without: ${told(beside)} (bar ${MAX_RATIO})`);
  say(`the same from save to save:                 ${told(overall)}`);
  say(`hashing and copying took ${seconds.median.toFixed(1)} s (${steps.median} steps)`);
  if (values.json)
    say(
      JSON.stringify({ bench: 'replication', beside, overall, seconds, steps, pairs, cores: cpus().length, ...facts }),
    );
  return beside.median <= MAX_RATIO;
}

const told = ({ median, low, high, confidence }: Middle): string =>
  `median ${median.toFixed(3)}, ${(100 * confidence).toFixed(1)} % interval ${low.toFixed(3)} to ${high.toFixed(3)}`;
const say = (text: string): void => void process.stdout.write(`${text}\n`);

process.exitCode = (await replication()) ? 0 : 1;
