/** What one call of `npm run preprocess` asks for: the checks of `preprocess_data.py`, in words. */
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { failure } from '../failures.js';
import { FLAGS, type FlagName, type FlagValues } from './command-flags.js';
import { pairName } from './summary.js';

export interface Request {
  input: string;
  prefix: string;
  keys: string[];
  tokenizer: string;
  appendEod: boolean;
  seqLength: number | undefined;
  padToMultipleOf: number;
  workers: number;
  subsets: number;
  logInterval: number;
  mergeKeys: string[] | undefined;
  /** Given, but without a meaning here, and why. */
  notes: string[];
}

/** Handlers of MindSpeed-LLM that make other data than GeneralPretrainHandler; a name it does not know means that one. */
const OTHER_HANDLERS = [
  'AlpacaPretrainHandler',
  'SharegptPretrainHandler',
  'StackOverflowPythonPretrainHandler',
  'LlamaFactoryInstructionHandler',
  'GeneralInstructionHandler',
  'AlpacaStyleInstructionHandler',
  'SharegptStyleInstructionHandler',
  'HunyuanInstructionHandler',
  'OpenAIInstructionHandler',
  'AlpacaStylePairwiseHandler',
  'SharegptStylePairwiseHandler',
  'AlpacaStyleProcessRewardHandler',
  'PPOAlpacaStyleInstructionHandler',
  'R1AlpacaStyleInstructionHandler',
  'R1SharegptStyleInstructionHandler',
  'BelleMultiTurnInstructionHandler',
  'MOSSMultiTurnHandler',
  'MOSSInstructionHandler',
  'LeetcodePythonInstructionHandler',
];
const GENERAL = 'GeneralPretrainHandler';

export async function readRequest(flags: FlagValues): Promise<Request> {
  const one = (name: FlagName) => flags[name]?.at(-1);
  const number = (name: FlagName, or: number) => Number(one(name) ?? or);
  const given = Object.keys(flags) as FlagName[];
  for (const name of given) {
    const flag = FLAGS[name];
    if ('refused' in flag) throw refused(`${name}: ${flag.refused}`);
  }
  const notes = given.flatMap((name) => {
    const flag = FLAGS[name];
    return 'ignored' in flag ? [`${name} is ignored: ${flag.ignored}`] : [];
  });
  const prefix = one('--output-prefix')!;
  if (!(await isDirectory(dirname(prefix))) || !prefix.includes('/'))
    throw refused(
      `--output-prefix ${prefix}: ${prefix.includes('/') ? `${dirname(prefix)} is not a directory` : 'expected a path with a directory, as in ./dataset/enwiki'}`,
    );
  const request = {
    input: one('--input')!.replace(/(?<=.)\/+$/, ''),
    prefix,
    keys: flags['--json-keys'] ?? ['text'],
    tokenizer: one('--tokenizer-name-or-path') ?? '',
    appendEod: '--append-eod' in flags,
    seqLength: one('--seq-length') === undefined ? undefined : number('--seq-length', 0),
    padToMultipleOf: number('--pad-to-multiple-of', 1),
    workers: number('--workers', 1),
    subsets: number('--n-subs', 1),
    logInterval: number('--log-interval', 100),
    mergeKeys: flags['--merge-group-keys'],
    notes,
  };
  if (request.mergeKeys) {
    if (!(await isDirectory(request.input))) throw refused(`--input ${request.input}: expected a directory of pairs`);
    return request;
  }
  checkHandler(one('--handler-name'), notes);
  if ((one('--tokenizer-type') ?? 'PretrainedFromHF') !== 'PretrainedFromHF')
    throw refused(`--tokenizer-type ${one('--tokenizer-type')}: only PretrainedFromHF is read here`);
  checkNumbers(request);
  checkKeys(request.keys);
  if (!(await isDirectory(request.tokenizer)))
    throw refused(`--tokenizer-name-or-path ${request.tokenizer}: there is no such directory here`);
  return request;
}

function checkHandler(name: string | undefined, notes: string[]): void {
  if (name === undefined || name === '' || name === GENERAL) return;
  if (OTHER_HANDLERS.includes(name)) throw refused(`--handler-name ${name}: only ${GENERAL} is done here`);
  notes.push(`--handler-name ${name} is unknown; as in the real program it means ${GENERAL}`);
}

function checkNumbers({ workers, subsets, prefix, padToMultipleOf }: Request): void {
  if (workers < 1) throw refused(`--workers ${workers}: expected a whole number from 1`);
  if (subsets < 1) throw refused(`--n-subs ${subsets}: expected a whole number from 1`);
  if (padToMultipleOf < 1) throw refused(`--pad-to-multiple-of ${padToMultipleOf}: expected a whole number from 1`);
  if (subsets > 1 && dirname(prefix).includes(basename(prefix)))
    throw refused(
      `--output-prefix ${prefix}: with --n-subs the real program replaces ${JSON.stringify(basename(prefix))} in the directory's name as well and fails. Choose a name that is not part of the path, or leave --n-subs out`,
    );
}

function checkKeys(keys: string[]): void {
  for (const [index, key] of keys.entries()) {
    pairName(key);
    if (keys.indexOf(key) !== index) throw refused(`--json-keys: ${key} is there twice`);
  }
}

const isDirectory = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isDirectory() ?? false;

const refused = (message: string) => failure('InvalidInput', message, { nonRetryable: true });
