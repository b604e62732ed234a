/**
 * Which `tokenizer.json` the fast path knows: told by everything that npm `tokenizers` would read in it, never by a name.
 * Pure: the answer is a shape, or a sentence that says what is not known. What is known is proven by
 * test/activities/preprocess-encoder.test.ts, id by id.
 */

import { GPT2_PATTERN, type Splitter, splitterWith } from './splitter.js';

export interface TokenizerJson {
  added_tokens?: MatchedTokenJson[];
  normalizer?: unknown;
  pre_tokenizer?: unknown;
  post_processor?: unknown;
  model?: BpeJson;
}

/** What of an added token decides where it is found in a text. */
export interface MatchedTokenJson {
  id: number;
  content: string;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
}

export interface BpeJson {
  type?: string;
  dropout?: number | null;
  unk_token?: string | null;
  continuing_subword_prefix?: string | null;
  end_of_word_suffix?: string | null;
  fuse_unk?: boolean;
  byte_fallback?: boolean;
  ignore_merges?: boolean;
  vocab: Record<string, number>;
  merges: (string | [string, string])[];
}

export interface AddedToken {
  content: string;
  id: number;
  /** Looked for in the normalised text, and in its own normalised form, rather than in the raw text. */
  normalized: boolean;
}

/** All that encoding needs beside vocabulary and merges. */
export interface Shape {
  nfc: boolean;
  splitter: Splitter;
  /** A pre-token that is in the vocabulary is that token, whatever merges make of it. */
  ignoresMerges: boolean;
  added: AddedToken[];
  /** Ids that the post-processor puts around every text. */
  prefix: number[];
  suffix: number[];
}

export type Recognised = { shape: Shape } | { reason: string };

export function recogniseShape(json: TokenizerJson): Recognised {
  try {
    checkModel(json.model);
    const shape = {
      nfc: isNfc(json.normalizer),
      splitter: splitterOf(json.pre_tokenizer),
      ignoresMerges: json.model!.ignore_merges === true,
      added: addedTokens(json.added_tokens ?? [], json.model!.vocab),
      ...surroundings(json.post_processor),
    };
    return { shape };
  } catch (error) {
    if (error instanceof Unknown) return { reason: error.message };
    throw error;
  }
}

class Unknown extends Error {}

function isNfc(normalizer: unknown): boolean {
  const steps = stepsOf(normalizer, 'normalizers');
  if (steps.length === 0) return false;
  if (same(steps, [{ type: 'NFC' }])) return true;
  throw new Unknown(`normalizer is ${show(normalizer)}; the fast path knows NFC and none`);
}

function splitterOf(preTokenizer: unknown): Splitter {
  const steps = stepsOf(preTokenizer, 'pretokenizers') as Record<string, unknown>[];
  const [splits, bytes] = [steps.slice(0, -1), steps.at(-1)];
  if (bytes?.['type'] !== 'ByteLevel' || splits.some(({ type }) => type !== 'Split'))
    throw new Unknown(`pre_tokenizer is ${show(preTokenizer)}; the fast path knows Split and then ByteLevel`);
  if (bytes['add_prefix_space'] !== false) throw new Unknown('pre_tokenizer.add_prefix_space is not false');
  const patterns = splits.map(patternOf);
  // Unless told not to, ByteLevel splits by itself.
  if (bytes['use_regex'] !== false) patterns.push(GPT2_PATTERN);
  const splitter = splitterWith(patterns);
  if (splitter === undefined) throw new Unknown('pre_tokenizer.pattern is not one that the fast path knows');
  return splitter;
}

function patternOf(split: Record<string, unknown>): string {
  if (split['behavior'] !== 'Isolated' || split['invert'] !== false)
    throw new Unknown(
      `pre_tokenizer.behavior is ${show(split['behavior'])}; the fast path knows Isolated, not inverted`,
    );
  return (split['pattern'] as { Regex?: string } | undefined)?.Regex ?? '';
}

/** What is left out in a file has these values. */
const PLAIN_BPE = {
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: '',
  end_of_word_suffix: '',
  fuse_unk: false,
  byte_fallback: false,
};

function checkModel(model: BpeJson | undefined): void {
  if (model?.type !== 'BPE') throw new Unknown(`model.type is ${show(model?.type)}; the fast path knows BPE`);
  if (typeof model.vocab !== 'object' || !Array.isArray(model.merges))
    throw new Unknown('model.vocab or model.merges is missing');
  for (const [name, plain] of Object.entries(PLAIN_BPE)) {
    const value = model[name as keyof typeof PLAIN_BPE] ?? plain;
    if (value !== plain) throw new Unknown(`model.${name} is ${show(value)}; the fast path knows ${show(plain)}`);
  }
}

function addedTokens(tokens: MatchedTokenJson[], vocab: Record<string, number>): AddedToken[] {
  const size = Object.keys(vocab).length;
  // An id that is not the vocabulary's is given by npm `tokenizers`, in this way, whatever the file says.
  let highest = -1;
  const nextId = () => (highest >= size ? highest + 1 : size);
  return tokens.map(({ id, content, normalized, ...flags }) => {
    for (const name of ['single_word', 'lstrip', 'rstrip'] as const)
      if (flags[name]) throw new Unknown(`added token ${show(content)} has ${name}`);
    if (content === '') throw new Unknown('an added token is empty');
    const given = Object.hasOwn(vocab, content) ? vocab[content]! : nextId();
    highest = Math.max(highest, given);
    if (id !== given) throw new Unknown(`added token ${show(content)} has the id ${id}, where ${given} was expected`);
    return { content, id, normalized };
  });
}

/** A ByteLevel post-processor touches offsets only; a template puts tokens before and after a text. */
function surroundings(postProcessor: unknown): Pick<Shape, 'prefix' | 'suffix'> {
  const steps = stepsOf(postProcessor, 'processors') as Template[];
  const templates = steps.filter(({ type }) => type !== 'ByteLevel');
  if (templates.length === 0) return { prefix: [], suffix: [] };
  const [template] = templates;
  const at = template?.single?.findIndex((part) => 'Sequence' in part) ?? -1;
  if (templates.length > 1 || template?.type !== 'TemplateProcessing' || at < 0)
    throw new Unknown(`post_processor is ${show(postProcessor)}; the fast path knows ByteLevel and one template`);
  const idsOf = (parts: TemplatePart[]) =>
    parts.flatMap((part) => {
      const ids = 'SpecialToken' in part ? template.special_tokens?.[part.SpecialToken.id]?.ids : undefined;
      if (!ids) throw new Unknown(`post_processor.single has ${show(part)} where a special token was expected`);
      return ids;
    });
  return { prefix: idsOf(template.single!.slice(0, at)), suffix: idsOf(template.single!.slice(at + 1)) };
}

type TemplatePart = { SpecialToken: { id: string } } | { Sequence: { id: string } };

interface Template {
  type: string;
  single?: TemplatePart[];
  special_tokens?: Record<string, { ids: number[] }>;
}

function stepsOf(step: unknown, list: string): unknown[] {
  if (step === null || step === undefined) return [];
  const { type, [list]: steps } = step as Record<string, unknown>;
  return type === 'Sequence' && Array.isArray(steps) ? steps : [step];
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

const show = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
};
