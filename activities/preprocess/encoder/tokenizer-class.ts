/** What the classes of transformers 4.57 do by themselves, beside what a directory's files say. Pure. */
import { contentOf, NAMED, type NamedTokens, type TokenSpec } from './added-tokens.js';

const END = '<|endoftext|>';

/** With `Fast` at its end a class is the same. */
const CLASSES: Record<string, NamedTokens> = {
  PreTrainedTokenizer: {},
  Qwen2Tokenizer: { eos_token: END, unk_token: END, pad_token: END },
  GPT2Tokenizer: { bos_token: END, eos_token: END, unk_token: END },
  LlamaTokenizer: { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>' },
};

/** Of `config.json`: those of `TOKENIZER_MAPPING_NAMES` whose classes are known here. */
const MODEL_TYPES: [type: RegExp, className: string][] = [
  [/^qwen(2|2_moe|3|3_moe|3_next)$/, 'Qwen2Tokenizer'],
  [/^(llama|llama4|llama4_text|deepseek_v[23])$/, 'LlamaTokenizer'],
  [/^gpt2$/, 'GPT2Tokenizer'],
  [/^(glm|glm4|glm4_moe|gpt_oss)$/, 'PreTrainedTokenizer'],
];

export interface ModelConfig {
  tokenizer_class?: string | null;
  model_type?: string;
}

/** `AutoTokenizer.from_pretrained`. Where no file names one, transformers loads nothing, and nothing is done here either. */
export function classNameOf(named: string | null | undefined, model: ModelConfig | undefined): string {
  const className = named ?? model?.tokenizer_class;
  if (className) return className.replace(/Fast$/, '');
  const type = model?.model_type;
  if (type === undefined) return 'PreTrainedTokenizer';
  return MODEL_TYPES.find(([pattern]) => pattern.test(type))?.[1] ?? `of model_type ${type}`;
}

export const isKnownClass = (className: string): boolean => Object.hasOwn(CLASSES, className);

/** `__init__` of the class: its defaults, and Qwen2's strings made tokens whose flags then count. */
export function namedTokens(className: string, given: NamedTokens): NamedTokens {
  const named = { ...CLASSES[className], ...given };
  if (className !== 'Qwen2Tokenizer') return named;
  for (const name of NAMED.slice(0, 3).concat('pad_token')) {
    const token = named[name];
    if (typeof token === 'string') named[name] = { content: token, normalized: false, special: true };
  }
  return named;
}

export interface Surroundings {
  add_bos_token?: boolean | null;
  add_eos_token?: boolean | null;
}

/** `LlamaTokenizerFast.update_post_processor`, which puts its own template in the place of the file's. */
export function llamaTemplate(
  { add_bos_token = true, add_eos_token = false }: Surroundings,
  { bos_token, eos_token }: NamedTokens,
  idOf: (content: string) => number | undefined,
): object {
  const used = (wanted: boolean | null, token: string | TokenSpec | null | undefined) =>
    wanted && token ? [contentOf(token)] : [];
  const [bos, eos] = [used(add_bos_token, bos_token), used(add_eos_token, eos_token)];
  const special = (type_id: number) => (id: string) => ({ SpecialToken: { id, type_id } });
  const part = (id: string, type_id: number) => [
    ...bos.map(special(type_id)),
    { Sequence: { id, type_id } },
    ...eos.map(special(type_id)),
  ];
  return {
    type: 'TemplateProcessing',
    single: part('A', 0),
    pair: [...part('A', 0), ...part('B', 1)],
    special_tokens: Object.fromEntries([...bos, ...eos].map((id) => [id, { id, ids: [idOf(id)], tokens: [id] }])),
  };
}
