/**
 * `npm run bench -- second-run`: how long a run prepares before it launches, from Temporal's history of it: the first of
 * a series, the next ones on unchanged data, and one of another series on data that grew by a file.
 *
 *     --megabytes 160     of text, in four files; the last run finds a fifth
 *     --again 3           runs on unchanged data, of which the median counts
 *     --timeline          what each activity of the median one of them waited and took
 *     --json              the last line on stdout is one JSON object
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startHub, type Hub } from '../../../infra/demo/hub.js';
import { demoRunFile } from '../../../infra/demo/run-file.js';
import { startStack, type Stack } from '../../../infra/demo/stack.js';
import type { PretrainResult } from '../../../workflows/status.js';
import { preparationOf, type Preparation } from '../../support/preparation-of-history.js';
import { growingCorpus } from './corpus.js';

const FILES = 4;
const MAX_SHARE = 0.1;
/** Of each run; more would only train for longer. */
const ITERATIONS = 2;

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '160' },
    again: { type: 'string', default: '3' },
    timeline: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

async function secondRun(): Promise<boolean> {
  const dir = await mkdtemp(join(tmpdir(), 'bench-second-run-'));
  if (!(Number(values.again) >= 1)) throw new Error(`--again: expected a whole number from 1, got ${values.again}`);
  const bytesAFile = (Number(values.megabytes) * 1e6) / FILES;
  const corpus = await growingCorpus(join(dir, 'hub'));
  for (let file = 0; file < FILES; file++) await corpus.add(bytesAFile);
  let hub: Hub | undefined = await startHub({ root: corpus.root });
  const port = Number(new URL(hub.url).port);
  const stack = await startStack({ dir, nodes: ['n1', 'n2', 'n3'], hub: hub.url });
  try {
    const first = await runOf(stack, 'first');
    const unchanged: Preparation[] = [];
    for (let run = 1; run <= Number(values.again); run++) unchanged.push(await runOf(stack, `unchanged-${run}`));
    const second = unchanged.toSorted((a, b) => a.seconds - b.seconds)[Math.floor(unchanged.length / 2)]!;
    // What it lists, it lists once.
    await hub.close();
    await corpus.add(bytesAFile);
    hub = await startHub({ root: corpus.root, port });
    const grown = await runOf(stack, 'grown');
    if (values.timeline) for (const line of second.timeline) say(line);
    const share = second.seconds / first.seconds;
    say(
      `unchanged data over first run, from start to launch: ${(100 * share).toFixed(1)} % (bar ${100 * MAX_SHARE} %); its data alone: ${((100 * second.dataSeconds) / first.dataSeconds).toFixed(1)} %`,
    );
    if (values.json)
      say(JSON.stringify({ share, first: figures(first), unchanged: unchanged.map(figures), grown: figures(grown) }));
    const onlyNew =
      grown.fetched.length === 1 &&
      grown.preprocessed.length > 0 &&
      grown.preprocessed.every((file) => grown.fetched.includes(file));
    const nothing = unchanged.every(({ fetched, preprocessed }) => fetched.length + preprocessed.length === 0);
    return share <= MAX_SHARE && nothing && onlyNew;
  } finally {
    await stack.stop();
    await hub?.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function runOf({ client }: Stack, name: string): Promise<Preparation> {
  const file = demoRunFile('demo', { iterations: 100, saveInterval: ITERATIONS }) as { train: object };
  const handle = await client.workflow.start('pretrain', {
    ...{ workflowId: name, taskQueue: 'pretrain' },
    // Data that has grown is another series'.
    args: [
      { ...file, ...(name === 'grown' && { series: name }), train: { ...file.train, iterationsPerRun: ITERATIONS } },
    ],
  });
  const { iteration } = (await handle.result()) as PretrainResult;
  const found = await preparationOf(client, name);
  const { seconds, checkSeconds, dataSeconds, fetched, preprocessed } = found;
  say(
    `${name}, load ${loadavg()[0]!.toFixed(1)}: ${seconds.toFixed(2)} s to its launch, ${checkSeconds.toFixed(2)} s of that to check nodes, ${dataSeconds.toFixed(2)} s for data; fetched ${list(fetched)}; preprocessed ${list(preprocessed)}; trained to iteration ${iteration}`,
  );
  return found;
}

const figures = ({ timeline: _, ...rest }: Preparation) => rest;
const list = (files: string[]): string => files.join(' ') || 'nothing';
const say = (text: string): void => void process.stdout.write(`${text}\n`);

process.exitCode = (await secondRun()) ? 0 : 1;
