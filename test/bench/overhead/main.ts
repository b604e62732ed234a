/**
 * `npm run bench -- overhead`: what the pipeline adds to the commands that it runs. The demo's run, from the
 * workflow's start to its end, against a shell script that does the same by hand, alternating, on the same machine;
 * and what both workers cost when they have nothing to do.
 *
 *     --rounds 3 --iterations 300    how often, and how long a run
 *     --json                         the last line on stdout is one JSON object
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { freePort } from '../../../activities/free-port.js';
import { makeCorpus } from '../../../infra/demo/corpus.js';
import { startHub } from '../../../infra/demo/hub.js';
import { HOST, pause } from '../../../infra/demo/part.js';
import { demoRunFile } from '../../../infra/demo/run-file.js';
import { startStack } from '../../../infra/demo/stack.js';
import { commandEnvironment, readNodeConfig, root } from '../../../workers/config.js';
import { parseRunSpec, type RunSpec } from '../../../workflows/spec.js';
import type { PretrainResult, RunState } from '../../../workflows/status.js';
import { scriptByHand } from './by-hand.js';
import { namesInOrder } from './in-order.js';
import { pyarrowFor } from './pyarrow.js';

const IDLE_MS = 20_000;
const MAX_RATIO = 1.1;
/** Of a node worker that has nothing to do. */
const MAX_NODE_MB = 120;

interface Round {
  seconds: number;
  /** Seconds of each phase, by its name. */
  phases: Record<string, number>;
  loss: number;
}

interface Idle {
  worker: string;
  /** Of one core, over the time looked at. */
  cpuShare: number;
  rssMb: number;
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    iterations: { type: 'string', default: '300' },
    json: { type: 'boolean', default: false },
  },
});

async function overhead(): Promise<boolean> {
  const [rounds, iterations] = [Number(values.rounds), Number(values.iterations)];
  const hub = await startHub({ root: await makeCorpus(join(root, '.cache/demo-hub')) });
  const work = await mkdtemp(join(tmpdir(), 'bench-overhead-'));
  try {
    const file = demoRunFile('demo', { iterations, saveInterval: Math.floor(iterations / 12) });
    const parsed = parseRunSpec(file, 'demo');
    if ('problems' in parsed) throw new Error(parsed.problems.map(({ path }) => path).join(', '));
    const hand: Round[] = [];
    const ours: Round[] = [];
    let idle: Idle[] = [];
    for (let round = 0; round < rounds; round++) {
      hand.push(await byHand(parsed.spec, join(work, `hand-${round}`), hub.url));
      const piped = await byPipeline(file, join(work, `pipeline-${round}`), hub.url, round === 0);
      ours.push(piped.round);
      idle = piped.idle ?? idle;
      // What else the machine is busy with is in the wall time of both.
      say(
        `round ${round + 1}, load ${loadavg()[0]!.toFixed(1)}: by hand ${describe(hand.at(-1)!)}\n         pipeline ${describe(ours.at(-1)!)}`,
      );
    }
    const ratio = median(ours.map(({ seconds }, round) => seconds / hand[round]!.seconds));
    const sameLoss = [...hand, ...ours].every(({ loss }) => loss === hand[0]!.loss);
    say(
      `\nwall time, pipeline over by hand: median ${ratio.toFixed(2)} (bar ${MAX_RATIO}); the same final loss: ${sameLoss}`,
    );
    for (const { worker, cpuShare, rssMb } of idle)
      say(
        `idle ${worker}: ${(100 * cpuShare).toFixed(1)} % of a core, ${rssMb.toFixed(0)} MB resident${worker === 'node worker' ? ` (bar ${MAX_NODE_MB})` : ''}`,
      );
    if (values.json) say(JSON.stringify({ ratio, sameLoss, hand, ours, idle }));
    const small = idle.every(({ worker, rssMb }) => worker !== 'node worker' || rssMb <= MAX_NODE_MB);
    return sameLoss && ratio <= MAX_RATIO && small;
  } finally {
    await hub.close();
    await rm(work, { recursive: true, force: true });
  }
}

async function byHand(spec: RunSpec, dir: string, hub: string): Promise<Round> {
  const disks = ['n1', 'n2'].map((name) => join(dir, name));
  await Promise.all(disks.map((disk) => mkdir(join(disk, 'series', spec.series, 'checkpoints'), { recursive: true })));
  const settings = readNodeConfig({ PRETRAIN_ADDRESS: HOST, PRETRAIN_DATA: dir, PRETRAIN_PROFILE: 'cpu' });
  const [data, model] = ['data', 'model'];
  const script = scriptByHand(spec, {
    ...{ disks, data, model, python: settings.python, mindspeed: settings.mindspeed, port: await freePort(HOST) },
    files: {
      ...(await inOrder(dir, await filesOf(hub, 'datasets/demo/sotu', /\.parquet$/, data))),
      ...(await filesOf(hub, 'models/demo/qwen3-tiny', /./, model)),
    },
    env: commandEnvironment(settings),
    parquet: await pyarrowFor(settings.python),
  });
  const { stdout } = await promisify(execFile)('bash', ['-c', script]);
  const marks = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ')) as [string, string][];
  const at = marks.map(([, time]) => Number(time));
  const phases = Object.fromEntries(marks.slice(1).map(([name], index) => [name, at[index + 1]! - at[index]!]));
  const log = await readFile(join(disks.at(-1)!, 'train.log'), 'utf8');
  const loss = [...log.matchAll(/lm loss: ([\d.E+-]+)/g)].at(-1)?.[1];
  return { seconds: at.at(-1)! - at[0]!, phases, loss: Number(loss) };
}

/** The same files under names that make the two sides read them in one order. */
async function inOrder(dir: string, files: Record<string, string>): Promise<Record<string, string>> {
  const sorted = Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1));
  const names = await namesInOrder(dir, sorted.length, '.parquet');
  return Object.fromEntries(sorted.map(([path, url], index) => [join(dirname(path), names[index]!), url]));
}

/** The addresses of a repository's files, by where they go. */
async function filesOf(hub: string, repo: string, wanted: RegExp, to: string): Promise<Record<string, string>> {
  const answer = await fetch(`${hub}/api/${repo}/tree/main?recursive=true`);
  const entries = (await answer.json()) as { type: string; path: string }[];
  const base = repo.startsWith('models/') ? repo.slice('models/'.length) : repo;
  const files = entries.filter(({ type, path }) => type === 'file' && wanted.test(path));
  return Object.fromEntries(
    files.map(({ path }) => [`${to}/${path.split('/').at(-1)!}`, `${hub}/${base}/resolve/main/${path}`]),
  );
}

async function byPipeline(file: object, dir: string, hub: string, lookAtIdle: boolean) {
  await mkdir(dir, { recursive: true });
  const stack = await startStack({ dir, nodes: ['n1', 'n2', 'n3'], hub });
  try {
    const idle = lookAtIdle
      ? await Promise.all([idleOf('control worker', stack.control.pid!), idleOf('node worker', stack.node('n1').pid!)])
      : undefined;
    const began = Date.now();
    const handle = await stack.client.workflow.start('pretrain', {
      ...{ workflowId: 'bench', taskQueue: 'pretrain', args: [file] },
    });
    const { loss } = (await handle.result()) as PretrainResult;
    const seconds = (Date.now() - began) / 1000;
    const { phases } = await handle.query<RunState>('runState');
    return { idle, round: { seconds, loss: loss!, phases: secondsOf(phases) } };
  } finally {
    await stack.stop();
  }
}

function secondsOf(spans: RunState['phases']): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { name, from, to = from } of spans) sums[name] = (sums[name] ?? 0) + (to - from) / 1000;
  return sums;
}

async function idleOf(worker: string, pid: number): Promise<Idle> {
  const ticks = async () => {
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!.split(' ');
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = await ticks();
  await pause(IDLE_MS);
  const used = ((await ticks()) - before) / 100;
  const rss = /VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))![1];
  return { worker, cpuShare: used / (IDLE_MS / 1000), rssMb: Number(rss) / 1024 };
}

const describe = ({ seconds, phases, loss }: Round): string =>
  [
    `${seconds.toFixed(1)} s`,
    ...Object.entries(phases).map(([name, time]) => `${name} ${time.toFixed(1)}`),
    `final loss ${loss.toFixed(6)}`,
  ].join(', ');

const median = (numbers: number[]): number => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
const say = (text: string): void => void process.stdout.write(`${text}\n`);

process.exitCode = (await overhead()) ? 0 : 1;
