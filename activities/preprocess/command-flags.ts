/** The options of MindSpeed-LLM's `preprocess_data.py`, and what the native preprocessor makes of each. */

type Kind = 'switch' | 'text' | 'texts' | 'whole number';

interface Flag {
  kind: Kind;
  choices?: readonly string[];
  /** Why nothing depends on it here. */
  ignored?: string;
  /** What the real program would do and this one does not. */
  refused?: string;
}

const INSTRUCTIONS = 'concerns instruction data only';
const SEVERAL = 'several data sets at once are not read; run once for each and merge with --merge-group-keys';
const ONE_TYPE = 'PretrainedFromHF reads the tokenizer directory only';

export const FLAGS = {
  '--input': { kind: 'text' },
  '--output-prefix': { kind: 'text' },
  '--json-keys': { kind: 'texts' },
  '--handler-name': { kind: 'text' },
  '--tokenizer-name-or-path': { kind: 'text' },
  '--tokenizer-type': {
    kind: 'text',
    choices: [
      'BertWordPieceLowerCase',
      'BertWordPieceCase',
      'GPT2BPETokenizer',
      'GPTSentencePieceTokenizer',
      'PretrainedFromHF',
      'MagistralTokenizer',
    ],
  },
  '--append-eod': { kind: 'switch' },
  '--seq-length': { kind: 'whole number' },
  '--pad-to-multiple-of': { kind: 'whole number' },
  '--workers': { kind: 'whole number' },
  '--n-subs': { kind: 'whole number' },
  '--log-interval': { kind: 'whole number' },
  '--merge-group-keys': { kind: 'texts' },

  '--streaming': { kind: 'switch', ignored: 'input is always streamed' },
  '--cache-dir': { kind: 'text', ignored: 'nothing is cached' },
  '--overwrite-cache': { kind: 'switch', ignored: 'nothing is cached' },
  '--max-samples': { kind: 'whole number', ignored: 'the real program ignores it as well' },
  '--seed': { kind: 'whole number', ignored: 'nothing is random' },
  '--interleave-probs': { kind: 'text', ignored: 'concerns several data sets only' },
  '--mix-strategy': {
    kind: 'text',
    choices: ['concat', 'interleave_under', 'interleave_over'],
    ignored: 'concerns several data sets only',
  },
  '--keep-newlines': { kind: 'switch', ignored: 'concerns --split-sentences only' },
  '--prompt-type-path': { kind: 'text', ignored: INSTRUCTIONS },
  '--dataset-additional-keys': { kind: 'texts', ignored: INSTRUCTIONS },
  '--map-keys': { kind: 'text', ignored: INSTRUCTIONS },
  '--enable-thinking': { kind: 'text', choices: ['true', 'false', 'none'], ignored: INSTRUCTIONS },
  '--reasoning-effort': { kind: 'text', choices: ['max', 'high'], ignored: INSTRUCTIONS },
  '--drop-thinking': { kind: 'text', choices: ['true', 'false'], ignored: INSTRUCTIONS },
  '--reward-tokens': { kind: 'texts', ignored: INSTRUCTIONS },
  '--placeholder-token': { kind: 'text', ignored: INSTRUCTIONS },
  '--obf-seed-content': { kind: 'text', ignored: 'concerns --data-obfuscation only' },
  '--script-data-dir': { kind: 'text', ignored: "a data set's own script is not run" },
  '--dataset-dir': { kind: 'text', ignored: 'concerns several data sets only' },
  '--vocab-file': { kind: 'text', ignored: ONE_TYPE },
  '--merge-file': { kind: 'text', ignored: ONE_TYPE },
  '--tokenizer-model': { kind: 'text', ignored: ONE_TYPE },
  '--trust-remote-code': { kind: 'switch', ignored: 'no code of a tokenizer is run' },
  '--make-vocab-size-divisible-by': { kind: 'whole number', ignored: 'no token depends on it' },
  '--pad-vocab-size-to': { kind: 'whole number', ignored: 'no token depends on it' },
  '--dataset-impl': { kind: 'text', choices: ['lazy', 'cached', 'mmap'], ignored: 'there is one format' },

  '--split-sentences': { kind: 'switch', refused: 'sentences are not split' },
  '--pack': { kind: 'switch', refused: 'pretraining data are not packed here: use --append-eod' },
  '--neat-pack': { kind: 'switch', refused: 'pretraining data are not packed here: use --append-eod' },
  '--prompt-type': { kind: 'text', refused: 'instruction data are not made here' },
  '--data-obfuscation': { kind: 'switch', refused: 'tokens are not obfuscated' },
  '--tokenizer-not-use-fast': { kind: 'switch', refused: 'only what tokenizer.json says is exact' },
  '--datasets': { kind: 'texts', refused: SEVERAL },
  '--hf-datasets-params': { kind: 'text', refused: 'load_dataset is not called; give --input' },
} as const satisfies Record<string, Flag>;

export type FlagName = keyof typeof FLAGS;
export type FlagValues = Partial<Record<FlagName, string[]>>;

/** A command line that `argparse` would not take either: exit 2. */
export class UsageError extends Error {}

/** As argparse reads: a flag may be shortened as long as it is clear which is meant, and `--flag=value` is one word. */
export function parseFlags(args: string[]): FlagValues {
  const values: FlagValues = {};
  const rest = [...args];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [typed, inline] = splitWord(word);
    const name = resolveFlag(typed, word);
    const { kind, choices } = FLAGS[name] as Flag;
    if (kind === 'switch') {
      if (inline !== undefined) throw new UsageError(`argument ${name}: ignored explicit argument '${inline}'`);
      values[name] = [];
      continue;
    }
    const found = inline === undefined ? takeValues(rest, kind) : [inline];
    if (found.length === 0 && name !== '--dataset-additional-keys')
      throw new UsageError(`argument ${name}: expected ${kind === 'texts' ? 'at least one argument' : 'one argument'}`);
    for (const value of found) checkValue(name, value, kind, choices);
    values[name] = found;
  }
  for (const name of ['--input', '--output-prefix'] as const)
    if (!values[name]) throw new UsageError(`the following arguments are required: ${name}`);
  return values;
}

function splitWord(word: string): [string, string | undefined] {
  const at = word.indexOf('=');
  return word.startsWith('--') && at > 0 ? [word.slice(0, at), word.slice(at + 1)] : [word, undefined];
}

function resolveFlag(typed: string, word: string): FlagName {
  const names = Object.keys(FLAGS) as FlagName[];
  const exact = names.find((name) => name === typed);
  if (exact) return exact;
  const meant = typed.startsWith('--') && typed.length > 2 ? names.filter((name) => name.startsWith(typed)) : [];
  if (meant.length === 1) return meant[0]!;
  if (meant.length > 1) throw new UsageError(`ambiguous option: ${typed} could match ${meant.join(', ')}`);
  throw new UsageError(`unrecognized arguments: ${word}`);
}

function takeValues(rest: string[], kind: Kind): string[] {
  const isValue = (word: string | undefined) => word !== undefined && (!word.startsWith('-') || /^-\d+$/.test(word));
  const found: string[] = [];
  while (isValue(rest[0]) && (kind === 'texts' || found.length === 0)) found.push(rest.shift()!);
  return found;
}

function checkValue(name: string, value: string, kind: Kind, choices: readonly string[] | undefined): void {
  if (kind === 'whole number' && !/^\s*[+-]?\d+\s*$/.test(value))
    throw new UsageError(`argument ${name}: invalid int value: '${value}'`);
  if (choices && !choices.includes(value) && !choices.includes(value.toLowerCase()))
    throw new UsageError(`argument ${name}: invalid choice: '${value}' (choose from ${choices.join(', ')})`);
}
