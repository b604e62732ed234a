/** Which added tokens a tokenizer of transformers 4.57 has in the end, by the rules of its source. Pure. */
import type { MatchedTokenJson } from './shape.js';

export interface AddedTokenJson extends MatchedTokenJson {
  special: boolean;
}

/** In files, of an id or of none; what is left out has the defaults of `AddedToken`. */
export type TokenSpec = Partial<AddedTokenJson> & { content: string; __type?: string };
export type Special = string | TokenSpec | null;

export const NAMED = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
] as const;

export type NamedTokens = Partial<Record<(typeof NAMED)[number], Special>>;

/** What is given to `PreTrainedTokenizerFast.__init__`. */
export interface TokenArguments {
  named: NamedTokens;
  additional: (string | TokenSpec)[];
  /** `extra_special_tokens`. */
  extra: (string | TokenSpec)[];
  /** `added_tokens_decoder`, or what stands for it in older files. */
  listed: TokenSpec[];
}

export interface AddedVocabulary {
  tokens: AddedTokenJson[];
  /** Tokens that are looked for in the raw text and in the normalised one, which no tokenizer.json can say. */
  inBoth: string[];
}

/** `PreTrainedTokenizerFast.__init__`. `vocabulary` is the model's, asked for only where a token is new. */
export function addTokens(
  was: readonly AddedTokenJson[],
  { named, additional, extra, listed }: TokenArguments,
  vocabulary: () => Map<string, number>,
): AddedVocabulary {
  const specials = specialTokens([...NAMED.map((name) => [named[name]]), additional, ...extra.map((token) => [token])]);
  const specialContents = new Set(specials.map(contentOf));
  const unchanged = new Set(was.map(flagsKey));
  const changed = listed.filter((token) => !unchanged.has(flagsKey(token)));
  const known = new Set([...was, ...changed].map(contentOf));
  const keys = new Set(changed.map(flagsKey));
  // A string is compared with contents, an AddedToken with all that it says.
  const others = specials.filter((token) =>
    typeof token === 'string' ? !known.has(token) : !keys.has(flagsKey(token)),
  );

  const added = addedVocabulary(was, vocabulary);
  for (const token of [...changed, ...others]) {
    const spec = typeof token === 'string' ? { content: token } : token;
    added.add({ ...spec, special: spec.special === true || specialContents.has(spec.content) });
  }
  return added;
}

/** `SpecialTokensMixin.all_special_tokens_extended`: what another name has is left out, but not what its own list has twice. */
function specialTokens(groups: readonly (readonly (Special | undefined)[])[]): (string | TokenSpec)[] {
  const seen = new Set<string>();
  return groups.flatMap((group) => {
    const tokens = group.flatMap((token) => (token && !seen.has(contentOf(token)) ? [token] : []));
    for (const token of tokens) seen.add(contentOf(token));
    return tokens;
  });
}

/** `AddedVocabulary::add_tokens` of the library `tokenizers`. */
function addedVocabulary(was: readonly AddedTokenJson[], vocabulary: () => Map<string, number>) {
  const tokens = was.map((token) => ({ ...token }));
  const inBoth: string[] = [];
  const seen = new Set(was.map(flagsKey));

  function nextId(content: string): number {
    const highest = Math.max(-1, ...tokens.map(({ id }) => id));
    const { size } = vocabulary();
    return vocabulary().get(content) ?? (highest >= size ? highest + 1 : size);
  }

  function add(spec: TokenSpec): void {
    const { content } = spec;
    // What was there once is ignored, also where another of the same content has come since.
    if (content === '' || seen.has(flagsKey(spec))) return;
    seen.add(flagsKey(spec));
    const flags = flagsOf(spec);
    const there = tokens.find((token) => token.content === content);
    if (!there) return void tokens.push({ id: nextId(content), content, ...flags });
    // Once special, a token is looked for where it was at first; else where it was, and where it is to be from now on.
    const isMoved = !there.special && there.normalized !== flags.normalized;
    if (isMoved) inBoth.push(content);
    const normalized = isMoved ? false : there.normalized;
    Object.assign(there, flags, { normalized, special: there.special || flags.special });
  }

  return { tokens, inBoth, add };
}

function flagsOf({ single_word = false, lstrip = false, rstrip = false, special = false, normalized }: TokenSpec) {
  return { single_word, lstrip, rstrip, normalized: normalized ?? !special, special };
}

const flagsKey = (token: TokenSpec): string => JSON.stringify([token.content, flagsOf(token)]);

export const contentOf = (token: string | TokenSpec): string => (typeof token === 'string' ? token : token.content);
