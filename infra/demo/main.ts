/**
 * `npm run demo`: the main job on the embedded default. Three node workers without a shared disk pretrain a small
 * Qwen3 on real text. Half-way, `--kill-node` takes one of them away, `--kill-server` the Temporal server, and
 * `--restore-server` puts a backup in the server's place; `--postgres` has the server on PostgreSQL.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { PretrainResult } from '../../workflows/status.js';
import { onlyProcess } from '../../workers/agent-lock.js';
import { root } from '../../workers/config.js';
import { program } from '../../workers/program.js';
import { makeCorpus } from './corpus.js';
import { startHub } from './hub.js';
import { faults, lossOf, strike, type FaultName } from './faults.js';
import { killNode } from './kill-node.js';
import { endLeftBehind } from './left-behind.js';
import { readMetrics } from './metrics.js';
import { demoRunFile } from './run-file.js';
import { showProgress } from './progress.js';
import { leave, takeSignals, type OnSignal } from './signals.js';
import { startStack, type Stack } from './stack.js';

const NODES = ['n1', 'n2', 'n3'];
const RUN = 'demo';

const options = readOptions();

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        postgres: { type: 'boolean', default: false },
        'kill-node': { type: 'boolean', default: false },
        'kill-server': { type: 'boolean', default: false },
        'restore-server': { type: 'boolean', default: false },
        iterations: { type: 'string' },
        'keep-open': { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
      },
    });
    const [fault, another] = (Object.keys(faults) as FaultName[]).filter((name) => values[name]);
    if (another) throw new Error(`--${fault} and --${another}: expected one of them`);
    if (fault === 'restore-server' && !values.postgres) throw new Error('--restore-server: expected with --postgres');
    const enough = String((fault && faults[fault].iterations) ?? 300);
    return { ...values, iterations: values.iterations ?? enough, fault };
  } catch (error) {
    process.stderr.write(
      `npm run demo -- [--postgres] [--kill-node | --kill-server | --restore-server] [--iterations 300] [--keep-open] [--json]: ${(error as Error).message}\n`,
    );
    process.exit(2);
  }
}

/** What `--json` prints as the last line. */
interface DemoResult {
  completed: boolean;
  finalLoss: number | undefined;
  iterations: number;
  iterationsLost: number;
  generations: number;
  secondsFromKillToNextIteration: number | undefined;
  wallSeconds: number;
  reportPath: string | undefined;
}

async function demo(): Promise<DemoResult> {
  const began = Date.now();
  const iterations = Number(options.iterations);
  if (!Number.isInteger(iterations) || iterations < 20)
    throw new Error(`--iterations: expected a whole number from 20, got ${options.iterations}`);
  const signalsMean = takeSignals();
  const dir = join(root, 'demo-data');
  await onlyProcess(root, 'demo', `another demo runs here, and its data is in ${dir}: wait for its end, or stop it`);
  await endLeftBehind(dir, { say });
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir);
  const hub = await startHub({ root: await makeCorpus(join(root, '.cache/demo-hub')) });
  const { postgres, fault } = options;
  const stack = await startStack({ dir, nodes: NODES, hub: hub.url, ui: true, postgres });
  const asking = new AbortController();
  let leaving: Promise<void> | undefined;
  signalsMean((signal) => {
    signalsMean(leave);
    // A call that is open when its connection is closed is tried again by the client, from a timer whose error nobody can catch.
    asking.abort();
    leaving = end(stack).then(() => leave(signal));
  });
  const play = async (): Promise<DemoResult> => {
    if (stack.uiUrl) say(`Temporal UI:  ${stack.uiUrl}/namespaces/default/workflows/${RUN}`);
    say(`Dashboard:    ${stack.dashboardUrl}runs/${RUN}`);
    say(`Everything is kept in ${dir}\n`);
    const file = demoRunFile('demo', { iterations, saveInterval: Math.max(5, Math.floor(iterations / 12)) });
    const handle = await stack.client.workflow.start('pretrain', {
      workflowId: RUN,
      taskQueue: 'pretrain',
      args: [file],
    });
    const metrics = () => readMetrics(NODES.map(stack.dataOf), RUN);
    const done = { yet: false };
    const ended = (handle.result() as Promise<PretrainResult>).finally(() => (done.yet = true));
    ended.catch(() => undefined);
    const striking = fault && strike(fault, { stack, metrics, iterations, done, say });
    striking?.catch(() => undefined);
    await showProgress({ handle, metrics, done, target: iterations });
    const result = await ended;
    const struck = await striking;
    const recovery = struck && lossOf(await metrics(), struck);
    say(
      `\n${result.message}; final loss ${result.loss?.toFixed(4)}, ${result.generations} generation(s), ${result.failures} failure(s)`,
    );
    if (recovery)
      say(`iterations lost: ${recovery.lost}; from the kill to the next iteration: ${recovery.seconds.toFixed(1)} s`);
    say(`report: ${result.report}`);
    signalsMean(leave);
    if (options['keep-open']) await keepOpen(stack, signalsMean);
    return {
      completed:
        result.iteration === iterations && (!struck || struck.isAsExpected(result.generations, recovery!.lost)),
      finalLoss: result.loss,
      iterations: result.iteration,
      iterationsLost: recovery?.lost ?? 0,
      generations: result.generations,
      secondsFromKillToNextIteration: recovery?.seconds,
      wallSeconds: (Date.now() - began) / 1000,
      reportPath: result.report,
    };
  };
  try {
    return await stack.client.withAbortSignal(asking.signal, play);
  } catch (error) {
    await leaving;
    await end(stack);
    throw error;
  } finally {
    await stack.stop();
    await hub.close();
  }
}

/** Training outlives its workers, which is the point of it, but nobody wants it to outlive an interrupted demo. */
async function end(stack: Stack): Promise<void> {
  say('\nstopping the cluster and what it trains; once more to leave at once');
  await Promise.all(NODES.map((name) => killNode(stack.node(name), stack.dataOf(name))));
  await stack.stop();
}

async function keepOpen(stack: Stack, signalsMean: (does: OnSignal) => void): Promise<void> {
  say(`\nThe cluster stays up for a look around (${stack.uiUrl ?? stack.dashboardUrl}); Ctrl-C ends it.`);
  say(`For the Temporal CLI: export TEMPORAL_ADDRESS=${stack.address}`);
  await new Promise<void>((done) => signalsMean(() => done()));
  signalsMean(leave);
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

program(
  async () => {
    const result = await demo().catch((error: unknown) => {
      process.stderr.write(`\nlogs: ${join(root, 'demo-data/logs')}\n`);
      throw error;
    });
    if (options.json) say(JSON.stringify(result));
    process.exit(result.completed ? 0 : 1);
  },
  // What trains is ended as on Ctrl-C: nobody would know that it goes on.
  { prefix: 'the demo failed: ', onClosed: () => void process.kill(process.pid, 'SIGTERM') },
);
