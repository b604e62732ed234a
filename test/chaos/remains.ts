/** What a case left behind: processes, leases in the pool, and the files that its run says are there. */
import { createHash } from 'node:crypto';
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '../../infra/demo/part.js';
import { POOL, type Cluster } from './cluster.js';
import type { GenerationHistory } from './histories.js';
import type { Played } from './play.js';

/** How long what ends by itself may take. */
const POOL_SECONDS = 20;

export async function orphans(cluster: Cluster, seconds: number): Promise<string[]> {
  for (const end = Date.now() + seconds * 1000; ; await pause(250)) {
    const found: string[] = [];
    for (const { host } of cluster.nodes.values())
      for (const pid of await host.pids()) {
        const environ = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
        const mark = environ.split('\0').find((variable) => variable.startsWith('PRETRAIN_TOKEN='));
        if (mark) found.push(`process ${pid} (${mark.split('@')[0]}) still runs on ${host.name}`);
      }
    if (found.length === 0 || Date.now() > end) return found;
  }
}

/** Nobody holds or waits for nodes of the pool any more. */
export async function poolLeftovers(cluster: Cluster): Promise<string[]> {
  const pool = cluster.client.workflow.getHandle(`pool-${POOL}`);
  for (const end = Date.now() + POOL_SECONDS * 1000; ; await pause(250)) {
    const page = await pool
      .query<string>('status')
      .catch((error: unknown) => `the pool does not answer: ${String(error)}`);
    const left = page.split('\n').filter((line) => /held by|waits for|does not answer/.test(line));
    if (left.length === 0 || Date.now() > end) return left.map((line) => `left in the pool: ${line}`);
  }
}

/** The last checkpoint where it should be, whole; every sealed directory as its manifest says; the report. */
export async function wrongFiles(
  cluster: Cluster,
  played: Played,
  last: GenerationHistory | undefined,
  exports = false,
): Promise<string[]> {
  const problems: string[] = [];
  const iteration = typeof played.ended === 'object' && 'result' in played.ended && played.ended.result['iteration'];
  if (iteration !== false) {
    const { report } = (played.ended as { result: Record<string, unknown> }).result;
    const path = typeof report === 'string' ? report.replace(/^\/srv\//, '') : 'none';
    if (!(await isThere(join(cluster.control.data, path)))) problems.push(`there is no report ${path}`);
    if (last) problems.push(...(await lastCheckpoint(cluster, played, Number(iteration), last)));
    if (exports) problems.push(...(await wrongExport(cluster, played)));
  }
  // An older iteration that a case has spoilt stays as it is: nothing is to be read from it any more.
  const spoilt = played.strikes.some(({ fault }) => fault === 'flipByte' || fault === 'cutShort');
  const newest = iteration === false ? '' : iterationDir(Number(iteration));
  for (const { host } of cluster.nodes.values())
    for (const below of [`series/${played.series}/checkpoints`, 'datasets', `exports/${played.series}`])
      for (const dir of await sealedBelow(join(host.data, below)))
        if (!spoilt || !dir.includes('/iter_') || dir.includes(newest))
          problems.push(...(await mismatches(dir)).map((what) => `${host.name}: ${what}`));
  return problems;
}

/** The model is where the run says, on a node that is there, and nothing of an attempt lies beside it. */
async function wrongExport(cluster: Cluster, { ended, series }: Played): Promise<string[]> {
  const { exported } = (ended as { result: { exported?: { node: string; path: string } } }).result;
  if (!exported) return ['the run does not say where the model is'];
  const { data } = cluster.nodes.get(exported.node)!.host;
  const names = await readdir(join(data, 'exports', series)).catch(() => []);
  const isSealed = await isThere(join(data, exported.path.replace(/^\/srv\//, ''), 'manifest.json'));
  return [
    ...(isSealed ? [] : [`there is no model ${exported.path} on ${exported.node}`]),
    ...names
      .filter((name) => /\.(gathered|converting)$/.test(name))
      .map((name) => `${exported.node}: ${name} was left beside the model`),
  ];
}

/** Every shard with its writer and with every node that was to keep a copy; of machines that are gone, at least somewhere. */
async function lastCheckpoint(
  cluster: Cluster,
  { series, strikes }: Played,
  iteration: number,
  { input, startedAt, copied, parts }: GenerationHistory,
): Promise<string[]> {
  const problems: string[] = [];
  const tree = (node: string) => join(cluster.nodes.get(node)!.host.data, 'series', series, 'checkpoints');
  const since = strikes.filter(({ at }) => at > startedAt);
  const lost = new Set(since.filter(({ fault }) => fault === 'killHost').map(({ node }) => node));
  // A spare that is not reached, or can keep nothing any more, hands over what it was to keep: then others say that they have.
  const struck = new Set(since.map(({ node }) => node));
  const planned = Object.entries(input.copies)
    .filter(([name]) => !struck.has(name))
    .flatMap(([name, copies]) => copies.map(({ shard }) => ({ name, shard })));
  const said = new Set(copied.filter((one) => one.iteration === iteration).map(({ task }) => task));
  const kept = parts
    .filter(({ task }) => said.has(task))
    .flatMap(({ node: name, copies }) => copies.map((shard) => ({ name, shard })));
  const wanted = input.nodes
    .flatMap(({ name }, rank) => (input.writes[rank] ?? []).map((shard) => ({ name, shard })))
    .concat(planned, kept);
  for (const { shard } of Object.values(input.copies).flat())
    if (![...planned, ...kept].some((copy) => copy.shard === shard) && lost.size === 0)
      problems.push(`nobody says that it has copied ${shard} of iteration ${iteration}`);
  const manifests = new Map<string, string>();
  for (const { name, shard } of wanted.filter(({ name }) => !lost.has(name))) {
    const path = join(tree(name), iterationDir(iteration), shard, 'manifest.json');
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text === undefined) problems.push(`${name} has no sealed ${shard} of iteration ${iteration}`);
    else if ((manifests.get(shard) ?? text) !== text)
      problems.push(`${name} has another ${shard} of iteration ${iteration}`);
    else manifests.set(shard, text);
  }
  for (const { shard } of wanted.filter(({ shard }) => !manifests.has(shard)))
    problems.push(`no node that is left has a sealed ${shard} of iteration ${iteration}`);
  const master = input.nodes[0]!.name;
  const tracker = await readFile(join(tree(master), 'latest_checkpointed_iteration.txt'), 'utf8').catch(
    () => 'nothing',
  );
  if (Number(tracker) !== iteration) problems.push(`the tracker of ${master} says ${tracker}, not ${iteration}`);
  return [...new Set(problems)];
}

const iterationDir = (iteration: number): string => `iter_${String(iteration).padStart(7, '0')}`;

async function sealedBelow(dir: string): Promise<string[]> {
  const found = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  return found.filter(({ name }) => name === 'manifest.json').map(({ parentPath }) => parentPath);
}

async function mismatches(dir: string): Promise<string[]> {
  const { files } = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8')) as {
    files: { path: string; size: number; sha256: string }[];
  };
  const wrong: string[] = [];
  for (const { path, sha256 } of files) {
    const bytes = await readFile(join(dir, path)).catch(() => undefined);
    if (!bytes) wrong.push(`${join(dir, path)} is missing`);
    else if (createHash('sha256').update(bytes).digest('hex') !== sha256)
      wrong.push(`${join(dir, path)} is not what its manifest says`);
  }
  return wrong;
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
