/**
 * A checkpoint in Hugging Face format: its weights gathered here from whoever has them, converted by the checkout's own
 * program, proven, and only then under its name. What a crash leaves is gone on with, or made again.
 */
import { activityInfo } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { lstat, mkdir, readdir, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ExportCheckpointInput, ExportedModel, NodeActivities } from '../workflows/contract.js';
import { checkpointsDir } from '../workflows/plan.js';
import { differingShapes, huggingFaceShapes } from '../workflows/weight-shapes.js';
import { bytesBelow, confined, readManifest, readWhole, sealArtifact, sha256, verifyArtifact } from './artifact.js';
import { noneIfMissing, readJson, syncPath, writeFileAtomic, writeJson } from './atomic.js';
import { isModel, shardDir, TRACKER } from './checkpoint-files.js';
import { dressModel } from './dress-model.js';
import { entryPoint } from './entry-point.js';
import { exclusive } from './exclusive.js';
import { failure } from './failures.js';
import type { NodeDeps } from './node-deps.js';
import { tensorsIn } from './safetensors.js';
import { withSpace } from './promised-space.js';
import { run } from './shell.js';
import { mayExportTo } from './source-roots.js';
import { step } from './step.js';
import { bytesToPull, pullArtifact, type PullOptions } from './transfer.js';
import { uploadModel } from './upload-model.js';

const TIMEOUT_MS = 24 * 3_600_000;
/** What the export was made of, and how it came out. */
const NOTE = 'export.json';

type Note = Omit<ExportedModel, 'path' | 'node' | 'to'> & { source: string };

export const createExportCheckpoint =
  (deps: NodeDeps): NodeActivities['exportCheckpoint'] =>
  (input) => {
    const { name: node, dataDir } = deps;
    let progress: unknown;
    const options = { node, name: `export iteration ${input.iteration} of ${input.series}`, details: () => progress };
    return step(options, (signal) =>
      exclusive(join(dataDir, input.dir), async () => {
        const [refused] = input.to === undefined ? [] : await mayExportTo(deps, input.to);
        if (refused !== undefined)
          throw failure('EnvCheckFailed', refused, { nonRetryable: true, details: { node, to: input.to } });
        const task: Task = { deps, input, signal, tell: (done) => (progress = done) };
        await forgetOthers(task);
        const note = (await madeBefore(task)) ?? (await make(task).catch((error: unknown) => giveUp(task, error)));
        const path = confined(dataDir, input.dir);
        await forget(task);
        const { source: _, ...told } = note;
        const { to } = input;
        if (to !== undefined) await uploadModel({ node, dir: path, to, signal, tell: task.tell });
        return { ...told, node, path, ...(to !== undefined && { to }) };
      }),
    );
  };

interface Task {
  deps: NodeDeps;
  input: ExportCheckpointInput;
  signal: AbortSignal;
  tell: (done: unknown) => void;
}

const gathered = ({ paths }: ExportCheckpointInput): string => paths['--load-dir']!;

/** These very shards by this very command, with this tokenizer: the same model. */
async function sourceOf({ deps: { dataDir }, input }: Task): Promise<string> {
  const { iteration, shards, script, args, config } = input;
  const tokenizer = (await readManifest(dataDir, input.tokenizer))?.artifact.digest;
  const parts = shards.map(({ shard, digest }) => [shard, digest]);
  return sha256(JSON.stringify([iteration, parts, script, args, config, tokenizer]));
}

async function madeBefore(task: Task): Promise<Note | undefined> {
  const { input, signal } = task;
  const { dataDir } = task.deps;
  const whole = await readWhole(dataDir, input.dir);
  // One that cannot be read says nothing of the model, which is made again.
  const note = whole && (await readJson<Note>(join(confined(dataDir, input.dir), NOTE)).catch(() => undefined));
  if (note?.source !== (await sourceOf(task))) return undefined;
  return (await verifyArtifact(dataDir, input.dir, { signal }))?.length === 0 ? note : undefined;
}

/** What lies beside an export while it is made, and after one that was never ended. */
const SCRATCH = ['.gathered', '.converting'];

const forget = async ({ deps: { dataDir }, input }: Task): Promise<void> => {
  for (const ending of SCRATCH) await rm(confined(dataDir, `${input.dir}${ending}`), { recursive: true, force: true });
};

/** Of other iterations of the series: nobody ends their exports any more. */
async function forgetOthers({ deps: { dataDir }, input }: Task): Promise<void> {
  const parent = dirname(confined(dataDir, input.dir));
  const own = SCRATCH.map((ending) => `${basename(input.dir)}${ending}`);
  for (const name of await readdir(parent).catch(noneIfMissing))
    if (SCRATCH.some((ending) => name.endsWith(ending)) && !own.includes(name))
      await rm(join(parent, name), { recursive: true, force: true });
}

/** Where nobody tries again, nothing is kept for that. */
async function giveUp(task: Task, error: unknown): Promise<never> {
  const { attempt, retryPolicy } = activityInfo();
  const isFinal = error instanceof ApplicationFailure && error.nonRetryable === true;
  const isLast = attempt >= (retryPolicy?.maximumAttempts ?? Infinity);
  if (isFinal || (isLast && !task.signal.aborted)) await forget(task);
  throw error;
}

async function make(task: Task): Promise<Note> {
  const { deps, input, signal } = task;
  const { dataDir, name: node } = deps;
  const target = confined(dataDir, input.dir);
  const relative = `${input.dir}.converting`;
  const aside = confined(dataDir, relative);
  await gatherAndConvert(task, aside);
  const found = await tensorsIn(aside);
  const names = Object.keys(found.shapes);
  const wrong = [
    ...(names.length === input.tensors ? [] : [`there are ${names.length} tensors and the model has ${input.tensors}`]),
    ...(input.sizes ? differingShapes(found.shapes, huggingFaceShapes(input.sizes)) : []),
  ];
  if (wrong.length > 0)
    throw failure(
      'CommandFailed',
      `${node}: exit code 0 of ${input.script}, but ${wrong.join('; ')}; log: ${target}.log`,
      { nonRetryable: true, details: { node, found: names.slice(0, 50), wanted: input.tensors } },
    );
  const tokenizer = confined(dataDir, input.tokenizer);
  const bytes = await dressModel({ dir: aside, tokenizer, config: input.config, dtypes: found.dtypes, signal });
  const note: Note = {
    ...{ source: await sourceOf(task), iteration: input.iteration },
    ...{ tensors: names.length, bytes, dtypes: found.dtypes },
  };
  await writeJson(join(aside, NOTE), note);
  for (const name of await readdir(aside)) await syncPath(join(aside, name));
  await sealArtifact(dataDir, relative, undefined, { signal });
  await rm(target, { recursive: true, force: true });
  await rename(aside, target);
  await syncPath(dirname(target));
  return note;
}

/** Not a byte is copied, unless there is room for all of them and for the model; and until that is made, nobody else is given it. */
async function gatherAndConvert(task: Task, aside: string): Promise<void> {
  const { deps, input, tell } = task;
  tell('gathering');
  // An earlier try's is no longer of use, and takes room.
  await rm(aside, { recursive: true, force: true });
  const pulls = await linkOwn(task);
  const model = input.modelBytes ?? 0;
  // A copy that has begun counts what it has still to bring itself.
  let toPull = pulls.reduce((sum, { need }) => sum + need, 0);
  const path = confined(deps.dataDir, gathered(input));
  const left = async () => toPull + Math.max(0, model - (await bytesBelow(aside)));
  const room = { path, bytes: toPull + model, left };
  await withSpace(room, { node: deps.name, name: `export of iteration ${input.iteration}` }, async () => {
    for (const { pull, need } of pulls) {
      toPull -= need;
      await pullArtifact(deps, pull);
    }
    await writeFileAtomic(join(path, TRACKER), String(input.iteration));
    tell('converting');
    await convert(task, aside);
  });
}

/**
 * Our own shards stay where they are, and are read once to be proven.
 *
 * @returns what is to be copied of others; it goes when the export is there
 */
async function linkOwn({ deps, input, signal, tell }: Task): Promise<{ pull: PullOptions; need: number }[]> {
  const { dataDir, name: node } = deps;
  const to = gathered(input);
  const pulls: { pull: PullOptions; need: number }[] = [];
  for (const { shard, digest, bytes: size, from } of input.shards) {
    const own = shardDir(checkpointsDir(input.series), input.iteration, shard);
    const at = shardDir(to, input.iteration, shard);
    const place = confined(dataDir, at);
    await mkdir(dirname(place), { recursive: true });
    if (await isLink(place)) await rm(place);
    const isOurs = (await readManifest(dataDir, own))?.artifact.digest === digest;
    if (isOurs && (await verifyArtifact(dataDir, own, { signal, only: isModel }))?.length === 0) {
      await rm(place, { recursive: true, force: true });
      await symlink(confined(dataDir, own), place);
      continue;
    }
    const peers = from.filter(({ name }) => name !== node);
    const artifact = { dir: at, digest, bytes: size, files: 0 };
    const onProgress = (done: object) => tell({ gathering: shard, ...done });
    const pull = { artifact, from: peers, signal, only: isModel, onProgress };
    pulls.push({ pull, need: await bytesToPull(deps, pull) });
  }
  return pulls;
}

const isLink = (path: string): Promise<boolean> =>
  lstat(path).then(
    (stats) => stats.isSymbolicLink(),
    () => false,
  );

async function convert({ deps, input, signal }: Task, aside: string): Promise<void> {
  const { dataDir, mindspeedDir, python, env, name: node } = deps;
  const flags = Object.entries(input.paths).flatMap(([flag, path]) => [flag, confined(dataDir, path)]);
  await mkdir(aside, { recursive: true });
  const { within } = input;
  if (within !== undefined) await writeJson(join(aside, 'config.json'), { torch_dtype: 'bfloat16', ...input.config });
  await run([python, await entryPoint(deps, input.script), ...input.args, ...flags, '--save-dir', aside], {
    ...{ cwd: mindspeedDir, env, timeout: TIMEOUT_MS, signal },
    logPath: `${confined(dataDir, input.dir)}.log`,
    what: `${node}: convert iteration ${input.iteration} to Hugging Face format`,
  });
  if (within === undefined) return;
  const made = confined(aside, within);
  for (const name of await readdir(made).catch(noneIfMissing)) await rename(join(made, name), join(aside, name));
  await rm(made, { recursive: true, force: true });
}
