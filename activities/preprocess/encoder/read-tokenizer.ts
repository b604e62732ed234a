/**
 * A directory's tokenizer as `AutoTokenizer.from_pretrained` of transformers 4.57 makes it of its files: `tokenizer.json`,
 * changed by what the files beside it say. Held against transformers itself by test/fixtures/tokenizers.
 */
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { readIfThere, readJson } from '../../atomic.js';
import { failure } from '../../failures.js';
import {
  type AddedTokenJson,
  addTokens,
  contentOf,
  NAMED,
  type NamedTokens,
  type Special,
  type TokenArguments,
  type TokenSpec,
} from './added-tokens.js';
import { classNameOf, isKnownClass, llamaTemplate, type ModelConfig, namedTokens } from './tokenizer-class.js';
import { partsOf } from './tokenizer-parts.js';

/** `tokenizer_config.json`, of which `special_tokens_map.json` is a part. */
export interface Config extends NamedTokens {
  tokenizer_class?: string | null;
  added_tokens_decoder?: Record<string, TokenSpec>;
  additional_special_tokens?: (string | TokenSpec)[] | null;
  extra_special_tokens?: Record<string, string | TokenSpec>;
  split_special_tokens?: boolean;
  add_bos_token?: boolean | null;
  add_eos_token?: boolean | null;
  add_prefix_space?: boolean | null;
  auto_map?: unknown;
  fast_tokenizer_files?: unknown;
  from_slow?: boolean;
  tokenizer_file?: unknown;
}

export interface TokenizerFiles {
  tokenizer: Buffer;
  config?: Config | undefined;
  /** `special_tokens_map.json`. */
  map?: Config | undefined;
  /** `added_tokens.json`: ids by content. */
  older?: Record<string, number> | undefined;
  /** `config.json`. */
  model?: ModelConfig | undefined;
}

export interface DirectoryTokenizer {
  /** As a `tokenizer.json` of its own: the file's own bytes where nothing changes it. */
  json: Buffer;
  added: AddedTokenJson[];
  eos: string | undefined;
  /** Where it may not be what transformers makes. */
  warnings: string[];
}

/** @returns nothing where there is no `tokenizer.json`; fails where a file beside it has something else for a token */
export async function readTokenizer(dir: string): Promise<DirectoryTokenizer | undefined> {
  const tokenizer = await readIfThere(join(dir, 'tokenizer.json'));
  if (!tokenizer) return undefined;
  const config = await readJson<Config>(join(dir, 'tokenizer_config.json'));
  const map = await readJson<Config>(join(dir, 'special_tokens_map.json'));
  const older = await readJson<Record<string, number>>(join(dir, 'added_tokens.json'));
  const model = config?.tokenizer_class ? undefined : await readJson<ModelConfig>(join(dir, 'config.json'));
  const beside = { 'tokenizer_config.json': config, 'special_tokens_map.json': map, 'added_tokens.json': older };
  for (const [file, content] of Object.entries({ ...beside, 'config.json': model }))
    if (content !== undefined && (typeof content !== 'object' || content === null || Array.isArray(content)))
      throw failure('InvalidInput', `${join(dir, file)}: expected an object`, { nonRetryable: true });
  for (const [file, content] of Object.entries({ 'tokenizer_config.json': config, 'special_tokens_map.json': map })) {
    const field = content && fieldWithoutTokens(content);
    if (field !== undefined)
      throw failure('InvalidInput', `${join(dir, file)}: ${field}: expected a token, or an object with its "content"`, {
        nonRetryable: true,
      });
  }
  try {
    return merged({ tokenizer, config, map, older, model });
  } catch (error) {
    if (error instanceof ApplicationFailure) throw error;
    throw failure('InvalidInput', `${dir}: its files are no tokenizer's: ${(error as Error).message}`, {
      nonRetryable: true,
      cause: error,
    });
  }
}

function fieldWithoutTokens(config: Config): string | undefined {
  const fields: Record<string, unknown[]> = {
    ...Object.fromEntries(NAMED.map((name) => [name, [config[name] ?? '']])),
    additional_special_tokens: Object.values(config.additional_special_tokens ?? []),
    extra_special_tokens: Object.values(config.extra_special_tokens ?? {}),
  };
  const isNone = (token: unknown) => typeof (token as TokenSpec | null)?.content !== 'string';
  if (Object.values(config.added_tokens_decoder ?? {}).some(isNone)) return 'added_tokens_decoder';
  const isNeither = (token: unknown) => typeof token !== 'string' && isNone(token);
  return Object.keys(fields).find((name) => fields[name]!.some(isNeither));
}

/** Pure. */
export function merged({ tokenizer: json, config = {}, map, older, model }: TokenizerFiles): DirectoryTokenizer {
  const className = classNameOf(config.tokenizer_class, model);
  const file = partsOf(json);
  const was = (file?.head['added_tokens'] ?? []) as AddedTokenJson[];
  const given = tokenArguments(config, { map, older, was });
  const padding = (file?.head['padding'] as { pad_token?: string } | null | undefined)?.pad_token;
  const named = namedTokens(className, padding === undefined ? given.named : { pad_token: padding, ...given.named });
  const eos = named.eos_token ? contentOf(named.eos_token) : undefined;
  // Why it is no tokenizer, whoever loads it says.
  if (!file) return { json, added: [], eos, warnings: [] };
  const { tokens: added, inBoth } = addTokens(was, { ...given, named }, file.vocabulary);
  const { pre_tokenizer, post_processor, normalizer } = file.head;
  const idOf = (content: string) =>
    added.find((token) => token.content === content)?.id ?? file.vocabulary().get(content);
  const isLlama = className === 'LlamaTokenizer';
  const changed = {
    added_tokens: added,
    pre_tokenizer: isLlama ? pre_tokenizer : prefixed(pre_tokenizer, config.add_prefix_space),
    post_processor: isLlama ? llamaTemplate(config, named, idOf) : post_processor,
  };
  const warnings = warningsOf(className, config, named);
  if (given.untyped)
    warnings.push(warning('a special token is an object without "__type", which transformers refuses'));
  if (!isEmpty(normalizer))
    for (const content of inBoth)
      warnings.push(warning(`the token ${content} is "normalized" otherwise than in tokenizer.json`));
  const isSame = same(changed, { added_tokens: was, pre_tokenizer, post_processor });
  return { json: isSame ? json : file.with(changed), added, eos, warnings };
}

/** `PreTrainedTokenizerBase._from_pretrained`: of all special tokens, those that are listed have the flags of the list. */
function tokenArguments(config: Config, { map, older = {}, was }: Beside): TokenArguments & { untyped: boolean } {
  const decoder = config.added_tokens_decoder;
  const given = namedOf(decoder ? config : { ...config, ...namedOf(map, asSpecial) });
  const additional = decoder || !map ? (config.additional_special_tokens ?? []) : additionalOf(config, map);
  const extra = Object.values(config.extra_special_tokens ?? {});
  const all = [...Object.values(given), ...additional].filter((token) => token !== null);
  const old = olderOf(older, new Set(all.map(contentOf)));
  const listed = byId(decoder ?? { ...old, ...Object.fromEntries(was.map((token) => [token.id, token])) });
  const byContent = new Map((decoder ? listed : was).map((token) => [token.content, token]));
  // A slip of the source: the last of the older tokens is kept under the content of the map's last additional one.
  const [slip, last] = [map?.additional_special_tokens?.at(-1), Object.values(older).at(-1)];
  if (!decoder && slip && last !== undefined && !byContent.has(contentOf(slip)))
    byContent.set(contentOf(slip), old[last]!);
  const named = namedOf(given, (token) => token && (byContent.get(contentOf(token)) ?? token));
  return { named, additional, extra, listed, untyped: all.some((token) => typeof token === 'object' && !token.__type) };
}

interface Beside extends Pick<TokenizerFiles, 'map' | 'older'> {
  was: AddedTokenJson[];
}

/** Without names that are not there; `null` is there. */
const namedOf = (config: NamedTokens = {}, change = (token: Special) => token): NamedTokens =>
  Object.fromEntries(
    NAMED.flatMap((name) => {
      const token = config[name];
      return token === undefined ? [] : [[name, change(token)]];
    }),
  );

const byId = (tokens: Record<string, TokenSpec>): TokenSpec[] =>
  Object.entries(tokens)
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([, token]) => token);

/** By id. */
const olderOf = (older: Record<string, number>, special: ReadonlySet<string>): Record<string, TokenSpec> =>
  Object.fromEntries(Object.entries(older).map(([content, id]) => [id, { content, special: special.has(content) }]));

const asSpecial = <T extends Special>(token: T): T =>
  token !== null && typeof token === 'object' ? { ...token, __type: 'AddedToken', special: true } : token;

function additionalOf(config: Config, map: Config): (string | TokenSpec)[] {
  const own = config.additional_special_tokens ?? [];
  if (map.additional_special_tokens === null) return [];
  return [...own, ...(map.additional_special_tokens ?? []).map(asSpecial)];
}

/** `PreTrainedTokenizerFast.__init__`: unless it is said otherwise, no space is put before a text. */
function prefixed(preTokenizer: unknown, add_prefix_space: boolean | null = false): unknown {
  const { type } = (preTokenizer ?? {}) as { type?: string };
  return type === 'ByteLevel' && add_prefix_space !== null
    ? { ...(preTokenizer as object), add_prefix_space }
    : preTokenizer;
}

/** Of these transformers makes its tokenizer by other files or code than `tokenizer.json`. */
const OTHER_SOURCES = ['auto_map', 'fast_tokenizer_files', 'from_slow', 'tokenizer_file'] as const;

function warningsOf(className: string, config: Config, named: NamedTokens): string[] {
  const warnings: string[] = [];
  const warn = (what: string) => void warnings.push(warning(what));
  if (!isKnownClass(className))
    warn(`what the class ${className} does by itself, such as a token before each text, is not known`);
  for (const name of OTHER_SOURCES) if (config[name]) warn(`${name} is not followed`);
  if (config.split_special_tokens) warn('split_special_tokens is not followed');
  if (className !== 'LlamaTokenizer') return warnings;
  if (typeof config.add_prefix_space === 'boolean')
    warn('add_prefix_space, for which LlamaTokenizer makes its tokenizer of tokenizer.model, is not followed');
  const { add_bos_token = true, add_eos_token = false } = config;
  const { bos_token, eos_token } = named;
  for (const [name, wanted, token] of [
    ['bos_token', add_bos_token, bos_token],
    ['eos_token', add_eos_token, eos_token],
  ] as const)
    // It writes the template as text, in which a space ends a token.
    if (wanted && (!token || contentOf(token).includes(' ')))
      warn(`add_${name} with the ${name} ${JSON.stringify(token ?? null)}, which transformers refuses`);
  return warnings;
}

const warning = (what: string): string => `tokenizer_config.json: ${what}; ids may differ from transformers'`;

function isEmpty(normalizer: unknown): boolean {
  return !normalizer || (normalizer as { normalizers?: unknown[] }).normalizers?.length === 0;
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
