/** Texts on which tokenizers that are nearly right are wrong: 40,418 of them, the same each time. */
import { createRandom, type Random } from './random.js';

const RANGES: [number, number][] = [
  [0x00, 0x1f],
  [0x20, 0x7e],
  [0x7f, 0x9f],
  [0xa0, 0x17f],
  [0x300, 0x36f],
  [0x370, 0x4ff],
  [0x590, 0x6ff],
  [0x900, 0xd7f],
  [0xe00, 0xe7f],
  [0x1100, 0x11ff],
  [0x1e00, 0x1fff],
  [0x2000, 0x206f],
  [0x2070, 0x23ff],
  [0x2460, 0x27bf],
  [0x2e80, 0x30ff],
  [0x3130, 0x318f],
  [0x3400, 0x4dbf],
  [0x4e00, 0x9fff],
  [0xa000, 0xa4cf],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfb00, 0xfdff],
  [0xfe00, 0xfe0f],
  [0xff00, 0xffef],
  [0x10000, 0x100ff],
  [0x10400, 0x1049f],
  [0x11380, 0x113d5],
  [0x16d40, 0x16d79],
  [0x1d100, 0x1d1ff],
  [0x1d400, 0x1d7ff],
  [0x1f100, 0x1f1ff],
  [0x1f300, 0x1faff],
  [0x20000, 0x2a6df],
  [0x2f800, 0x2fa1f],
  [0xe0100, 0xe01ef],
];

// prettier-ignore
const SPACES = [' ', '  ', '   ', '\n', '\n\n', '\r\n', '\r', '\t', '\u00a0', '\u2003', '\u3000', '\u2028', '\u0085', '\v', '\f',
  ' \n', ' \n ', '\n ', '\t\t', '\u200b', '\ufeff', '\u1680', '\u180e', '\u200d'];

// prettier-ignore
const WORDS = ["I'm", "don't", "WE'LL", "they'VE", "'s", "'S", "'ſ", "it’s", 'hello', 'world', 'Ⅷ', 'ⅷ', '²³', '½', '１２３', '123', '4567',
  '3.14', 'foo_bar', 'camelCase', 'ﬁ', 'Å', 'A\u030a', 'e\u0301', '\u1100\u1161\u11a8', '가', '각', 'क्षि', 'สวัสดี', 'مرحبا', 'こんにちは', 'カタカナ',
  '中文', '漢字', '🤖', '👨‍👩‍👧‍👦', '🇨🇳', 'e\u0323\u0302', '\u0344', '\u0958', '\u212b', '\u2126', '->', '==', '!=', '...', '——', '。', '，', '?!', '"', "'",
  '\\n', '0x1F', '#include', '</div>', 'http://a.b/c?d=e&f=g', '=\u0338', '\u1100', '\u1161', '\u11a8'];

/** Whole added tokens, and beginnings of them. */
export const specialsOf = (added: readonly string[]): string[] => [
  ...added,
  ...added.map((token) => token.slice(0, -1)),
  ...added.map((token) => token.slice(1)),
];

function character({ of, below }: Random): string {
  const [first, last] = of(RANGES);
  return String.fromCodePoint(first + below(last - first + 1));
}

/** One odd text of up to 60 parts. */
export function oddText(random: Random, specials: readonly string[]): string {
  const { below, chance, of } = random;
  const parts = Array.from({ length: 1 + below(60) });
  if (chance(0.3)) return parts.map(() => (chance(0.8) ? character(random) : of(SPACES))).join('');
  const part = () => {
    const kind = below(100);
    if (kind < 45) return of(WORDS);
    if (kind < 70) return of(SPACES);
    if (kind < 95 || specials.length === 0)
      return Array.from({ length: 1 + below(4) }, () => character(random)).join('');
    return of(specials);
  };
  return parts.map(part).join('');
}

export function* odd(added: readonly string[], seed: number, count: number): Generator<string> {
  const random = createRandom(seed);
  const specials = specialsOf(added);
  for (let i = 0; i < count; i++) yield oddText(random, specials);
}

/** Every character of Unicode, after and before the given text, 97 of them a text. */
export function* sweep(between: string): Generator<string> {
  let chars: string[] = [];
  for (let code = 0; code < 0x110000; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    chars.push(String.fromCodePoint(code));
    if (chars.length < 97) continue;
    yield chars.join(between);
    chars = [];
  }
  yield chars.join(between);
}

const runs = (): string[] => [
  'a'.repeat(100_000),
  ' '.repeat(100_000),
  '\n'.repeat(20_000),
  '中'.repeat(100_000),
  'ab'.repeat(50_000),
  '0'.repeat(50_000),
  '='.repeat(50_000),
  'é'.repeat(30_000),
  'e\u0301'.repeat(30_000),
  'AbC9+/'.repeat(20_000),
  '\t'.repeat(10_000),
  ' \n'.repeat(10_000),
  "'s".repeat(10_000),
  '🤖'.repeat(20_000),
];

export function* adversarial(added: readonly string[]): Generator<string> {
  const random = createRandom(11);
  const specials = specialsOf(added);
  for (let i = 0; i < 6_000; i++) yield oddText(random, specials);
  for (const between of ['a', ' ', '1']) yield* sweep(between);
  yield* runs();
  const token = added[0] ?? '<|endoftext|>';
  yield* ['', ' ', '\n', 'a', token, ` ${token} `, '\u0301', '\ud7a3\u11a8'];
  yield Buffer.from(Array.from({ length: 60_000 }, () => random.below(256))).toString('base64');
}
