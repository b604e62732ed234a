/**
 * What a launch would load and overwrite on this node, looked at before anything is started: the real program starts
 * from random weights where it finds no tracker, saves over what is there, and exits 0.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { LaunchTrainingInput } from '../workflows/contract.js';
import { DCP_METADATA } from '../workflows/dcp-shards.js';
import { isOfModel, saidOtherwise } from '../workflows/hugging-face.js';
import { confined } from './artifact.js';
import { readJson } from './atomic.js';
import { iterationDir, iterationsIn, readTracker } from './checkpoint-files.js';
import { isStepEnded, stepsIn } from './dcp-tree.js';

const FSDP2 = 'train_fsdp2.py';
const RESUME = '--training.resume_from_checkpoint';
const OUTPUT = '--training.output_dir';

type Launch = Pick<LaunchTrainingInput, 'script' | 'loads' | 'published' | 'model'>;

/** Why this launch must not be; nothing where it may. */
export const unsafeStart = (dataDir: string, launch: Launch): Promise<string | undefined> =>
  (launch.script[0] === FSDP2 ? unsafeSteps : unsafeTracker)(dataDir, launch);

async function unsafeTracker(dataDir: string, { script, loads, published }: Launch): Promise<string | undefined> {
  const [load, save] = [valueOf(script, '--load'), valueOf(script, '--save')];
  if (load !== undefined && published) {
    const unfit = await unfitWeights(join(dataDir, load), published);
    if (unfit !== undefined) return `--load ${load} ${unfit}`;
  } else if (load !== undefined) {
    const tracked = await readTracker(dataDir, load);
    if (tracked === undefined) return `--load ${load} has no tracker that names an iteration`;
    if (load === save && loads !== undefined && tracked !== loads)
      return `the tracker of --load ${load} names iteration ${tracked}, and ${loads} is planned`;
    if (!(await iterationsIn(dataDir, load)).includes(tracked))
      return `the tracker of --load ${load} names iteration ${tracked}, and there is no ${iterationDir(tracked)}`;
  }
  if (save === undefined || save === load) return undefined;
  const held = await iterationsIn(dataDir, save);
  if (held.length === 0) return undefined;
  const from = load === undefined ? 'random weights' : `the weights in ${load}`;
  return `it would start from ${from} and save over --save ${save}, which holds iteration ${held.join(', ')}`;
}

/** The trainer converts them without a look at what it made of them. */
async function unfitWeights(dir: string, said: NonNullable<Launch['published']>): Promise<string | undefined> {
  const files = await readdir(dir).catch(() => []);
  const config = await readJson<Record<string, unknown>>(join(dir, 'config.json')).catch(() => undefined);
  if (!config || !files.some((name) => /^model.*\.safetensors$/.test(name)))
    return 'has no config.json that can be read beside model*.safetensors';
  const other = saidOtherwise(config, said);
  return other.length === 0 ? undefined : `is another model: in its config.json ${other.join('; ')}`;
}

/** Of `train_fsdp2.py`: it loads what it is told, whole or not, and removes the oldest of all that it finds beside that. */
async function unsafeSteps(dataDir: string, { script, loads, model }: Launch): Promise<string | undefined> {
  const dir = valueOf(script, '--model.model_name_or_path');
  if (dir !== undefined && model) {
    const config = await readJson<Record<string, unknown>>(join(confined(dataDir, dir), 'config.json'));
    if (!config || !isOfModel(config, model))
      return `config.json of the model in ${dir} is not that of the run file's model: choose the weights of model.preset`;
  }
  const [from, output] = [valueOf(script, RESUME), valueOf(script, OUTPUT)!];
  const held = await stepsIn(dataDir, `${output}/checkpoints`);
  if (from === undefined)
    return held.length === 0
      ? undefined
      : `it would start from the beginning and save over ${OUTPUT} ${output}, which holds step ${held.join(', ')}`;
  if (!(await isStepEnded(dataDir, from))) return `${RESUME} ${from} has no ${DCP_METADATA}: it is not whole here`;
  const newer = held.filter((step) => step > loads!);
  if (newer.length === 0) return undefined;
  return `${OUTPUT} ${output} holds step ${newer.join(', ')}, newer than ${loads}, which is planned`;
}

export const valueOf = (script: string[], flag: string): string | undefined => {
  const at = script.indexOf(flag);
  return at < 0 ? undefined : script[at + 1];
};
