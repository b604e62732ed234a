/** Tokenizer directories that say something beside their `tokenizer.json`, each with the ids that transformers gives. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../../../workers/config.js';
import { DEEPSEEK3, GPT2, LLAMA3, QWEN3 } from './tokenizers.js';

const BASES = { qwen3: QWEN3, gpt2: GPT2, llama3: LLAMA3, deepseek3: DEEPSEEK3 };

export interface TransformersCase {
  what: string;
  base: keyof typeof BASES;
  /** By file: where, and the value there, or nothing to remove it. `#content` in a path finds an added token. */
  changes?: Record<string, [path: (string | number)[], value?: unknown][]>;
  /** What the texts are about. */
  tokens: string[];
  /** Why transformers refuses the directory. */
  refused?: string;
  eos?: number | null;
  size?: number;
  /** Of each text of `textsOf`. */
  ids?: string[];
  /** That its ids may differ is said; where nothing is, they do not. */
  warns?: boolean;
}

export const CASES = join(root, 'test/fixtures/tokenizers/transformers-4.57.1.json');

export const readCases = async (): Promise<TransformersCase[]> =>
  JSON.parse(await readFile(CASES, 'utf8')) as TransformersCase[];

export function textsOf(tokens: readonly string[]): string[] {
  const [a, b] = [tokens[0]!, tokens.at(-1)!];
  const around = [
    a,
    ` ${a}`,
    `${a} `,
    `in${a}side`,
    `one ${a} two`,
    ` \n ${a}\t ${a}  end`,
    `${a}${b}${a}`,
    `${b}'s ${b}.`,
  ];
  return [...around, a.toUpperCase(), 'Hello world, 12345 times!', ' e\u0301 \u212b 中文\u00a0end', ''];
}

interface Json {
  added_tokens: { id: number; content: string }[];
  model: { vocab: Record<string, number>; merges: (string | [string, string])[] };
}

const MERGES = 600;
const ADDED = 8;

/** The first merges and the first added tokens only, with new ids: small enough to be loaded many times. */
async function cutBase(name: TransformersCase['base']): Promise<Record<string, object>> {
  const read = async <T>(file: string) => JSON.parse(await readFile(join(BASES[name], file), 'utf8')) as T;
  const json = await read<Json>('tokenizer.json');
  const config = await read<{ added_tokens_decoder?: Record<string, object> }>('tokenizer_config.json');
  const [merges, made] = closed(json.model.merges.slice(0, MERGES));
  const first = json.added_tokens.slice(0, ADDED);
  const isAdded = new Set(first.map(({ content }) => content));
  const kept = Object.entries(json.model.vocab)
    .filter(([token]) => token.length === 1 || made.has(token) || isAdded.has(token))
    .sort(([, a], [, b]) => a - b);
  const vocab = Object.fromEntries(kept.map(([token], id) => [token, id]));
  let next = kept.length;
  const added = first.map((token) => ({ ...token, id: vocab[token.content] ?? next++ }));
  const decoder = config.added_tokens_decoder;
  const listed = first.flatMap(({ id }, at) => (decoder?.[id] ? [[added[at]!.id, decoder[id]]] : []));
  return {
    'tokenizer.json': { ...json, added_tokens: added, model: { ...json.model, vocab, merges } },
    'tokenizer_config.json': decoder
      ? { ...config, added_tokens_decoder: Object.fromEntries(listed) as object }
      : config,
  };
}

/** Only merges of what there is, and what they make: Llama 3 has some before the merges that make their parts. */
function closed(merges: Json['model']['merges']): [Json['model']['merges'], Set<string>] {
  const partsOf = (merge: string | [string, string]) => (typeof merge === 'string' ? merge.split(' ') : merge);
  const made = new Set(merges.map((merge) => partsOf(merge).join('')));
  const isThere = (part: string) => part.length === 1 || made.has(part);
  const kept = merges.filter((merge) => partsOf(merge).every(isThere));
  return kept.length === merges.length ? [merges, made] : closed(kept);
}

const bases = new Map<string, Promise<Record<string, object>>>();

export async function writeCase(dir: string, { base, changes = {} }: TransformersCase): Promise<void> {
  if (!bases.has(base)) bases.set(base, cutBase(base));
  const files = structuredClone(await bases.get(base)!);
  const added = (files['tokenizer.json'] as Json).added_tokens;
  for (const [file, list] of Object.entries(changes)) {
    files[file] ??= {};
    for (const [path, value] of list)
      change(
        files[file],
        path.map((step) => found(step, file, added)),
        value,
      );
  }
  await mkdir(dir, { recursive: true });
  for (const [file, content] of Object.entries(files)) await writeFile(join(dir, file), JSON.stringify(content));
}

function found(step: string | number, file: string, added: Json['added_tokens']): string | number {
  if (typeof step === 'number' || !step.startsWith('#')) return step;
  const at = added.findIndex(({ content }) => content === step.slice(1));
  return file === 'tokenizer.json' ? at : added[at]!.id;
}

function change(target: object, path: (string | number)[], value: unknown): void {
  const parent = path
    .slice(0, -1)
    .reduce<Record<string | number, unknown>>(
      (at, step) => (at[step] ??= {}) as Record<string, unknown>,
      target as Record<string, unknown>,
    );
  if (value === undefined) delete parent[path.at(-1)!];
  else parent[path.at(-1)!] = value;
}
