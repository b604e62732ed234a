/**
 * `npm run bench -- month`: the real workflows through a month of training that a fault ends every six hours, on a server
 * that skips time; and how long the histories get. A history ends at 51,200 events, and the server ends the run with it.
 *
 *     --days 30
 *     --faults 4       a day
 *     --json           the last line on stdout is one JSON object
 */
import { parseArgs } from 'node:util';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { fileURLToPath } from 'node:url';
import { workflowPatience } from '../../../workers/control.js';
import type { ControlActivities, NodeInfo } from '../../../workflows/contract.js';
import type { PretrainResult } from '../../../workflows/status.js';
import { executionsOf, type Execution } from '../scale/history.js';
import { nodeOfMonth, type World } from './node.js';
import { startTimeSkipping } from './server.js';

const { values } = parseArgs({
  options: {
    days: { type: 'string', default: '30' },
    faults: { type: 'string', default: '4' },
    json: { type: 'boolean', default: false },
  },
});

/** Of a run's own history, in events. */
const BAR = 2_000;
const DAY = 24 * 60;
const SAVE_EVERY = 30;

function runFile(iterations: number, faults: number): object {
  return {
    series: 's',
    model: { preset: 'qwen3-tiny' },
    tokenizer: { source: 'hf://a/tokenizer' },
    dataset: { source: 'hf://a/data/*.parquet' },
    cluster: { pool: 'month', nodes: 2, spares: 1, devicesPerNode: 1 },
    parallel: { pp: 2 },
    train: { iterations, globalBatch: 4, seqLength: 128, saveInterval: SAVE_EVERY, replicas: 1 },
    recovery: { maxFailures: faults + 1 },
  };
}

async function live({ client, nativeConnection }: TestWorkflowEnvironment, world: World, file: object) {
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../../../workflows/index.ts', import.meta.url)),
    logger: new DefaultLogger('WARN'),
  });
  const connection = nativeConnection;
  const control: Pick<ControlActivities, 'writeReport' | 'describeHolder'> = {
    writeReport: () => Promise.resolve({ path: 'report.html' }),
    describeHolder: () => Promise.resolve({ open: true }),
  };
  const workers = [
    await Worker.create({
      ...{
        connection,
        taskQueue: 'pretrain',
        workflowBundle: { code },
        activities: { ...control },
        ...workflowPatience,
      },
    }),
  ];
  for (const name of ['n1', 'n2', 'n3']) {
    const info: NodeInfo = { name, address: name, port: 1, devices: 1, profile: 'cpu' };
    workers.push(
      await Worker.create({ connection, taskQueue: `node-${name}`, activities: { ...nodeOfMonth(world, info) } }),
    );
    await client.workflow.signalWithStart('nodePool', {
      ...{ workflowId: 'pool-month', taskQueue: 'pretrain', signal: 'join', signalArgs: [{ ...info, token: 0 }] },
    });
  }
  const running = workers.map((worker) => worker.run());
  try {
    const handle = await client.workflow.start('pretrain', {
      ...{ workflowId: 'run', taskQueue: 'pretrain', args: [file] },
    });
    // Which lets time run.
    return (await handle.result()) as PretrainResult;
  } finally {
    for (const worker of workers) worker.shutdown();
    await Promise.all(running);
  }
}

const longest = (executions: Execution[]) => Math.max(...executions.map(({ events }) => events));
const sum = (executions: Execution[]) => executions.reduce((total, { events }) => total + events, 0);
const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function month(): Promise<boolean> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const [days, faults] = [values.days, values.faults].map(Number) as [number, number];
  if (!(days > 0 && faults > 0))
    throw new Error(`--days and --faults: expected numbers above 0, got ${values.days} and ${values.faults}`);
  const began = Date.now();
  const env = await startTimeSkipping();
  try {
    const iterations = Math.round((days * DAY) / SAVE_EVERY) * SAVE_EVERY;
    const world: World = {
      ...{ client: env.client, faultEvery: DAY / faults, saveEvery: SAVE_EVERY, until: iterations, saved: 0 },
      shards: ['mp_rank_00_000', 'mp_rank_00_001'],
    };
    const result = await live(env, world, runFile(iterations, Math.ceil(days * faults)));
    const run = await executionsOf(env.client, 'run');
    const children = [];
    for (let n = 1; n <= result.generations; n++) {
      children.push({
        prepare: await executionsOf(env.client, `run/prepare-${n}`),
        gen: await executionsOf(env.client, `run/gen-${n}`),
      });
    }
    const generations = children.flatMap(({ gen }) => gen);
    const preparations = children.flatMap(({ prepare }) => prepare);
    const pool = await executionsOf(env.client, 'pool-month');
    const figures = {
      ...{ days, generations: result.generations, failures: result.failures, iteration: result.iteration },
      run: {
        executions: run.length,
        longest: longest(run),
        events: sum(run),
        largestPayload: Math.max(...run.map(({ largestPayload }) => largestPayload)),
      },
      generation: { longest: longest(generations), events: sum(generations) },
      preparation: { longest: longest(preparations), events: sum(preparations) },
      pool: { executions: pool.length, longest: longest(pool) },
      seconds: (Date.now() - began) / 1000,
    };
    const holds = figures.run.longest <= BAR && result.iteration === iterations;
    say(
      `${days} days, ${result.failures} faults, ${result.generations} generations, iteration ${result.iteration} of ${iterations}, in ${figures.seconds.toFixed(0)} s`,
    );
    say(
      `  the run: ${run.length} executions, ${figures.run.events} events in all, ${figures.run.longest} in the longest, ${figures.run.largestPayload} B the largest payload`,
    );
    say(
      `  a generation: ${figures.generation.longest} events at most; a preparation: ${figures.preparation.longest}; the pool: ${pool.length} executions, ${figures.pool.longest} at most`,
    );
    say(`  a run's own history  ${figures.run.longest}   bar ${BAR}   ${holds ? 'holds' : 'FAILS'}`);
    if (values.json) say(JSON.stringify({ ...figures, holds }));
    return holds;
  } finally {
    await env.teardown();
  }
}

month().then(
  (holds) => process.exit(holds ? 0 : 1),
  (error: unknown) => {
    process.stderr.write(`bench month: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  },
);
