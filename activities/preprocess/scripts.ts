/** Which script a character belongs to, by Unicode's names; emoji, which Unicode counts as common, by themselves. */
const NAMES = [
  ...['Latin', 'Greek', 'Cyrillic', 'Armenian', 'Georgian', 'Hebrew', 'Arabic', 'Syriac', 'Thaana', 'Ethiopic', 'Nko'],
  ...['Tifinagh', 'Devanagari', 'Bengali', 'Gurmukhi', 'Gujarati', 'Oriya', 'Tamil', 'Telugu', 'Kannada', 'Malayalam'],
  ...['Sinhala', 'Thai', 'Lao', 'Tibetan', 'Myanmar', 'Khmer', 'Mongolian', 'Han', 'Hiragana', 'Katakana', 'Bopomofo'],
  ...['Hangul', 'Yi', 'Cherokee', 'Canadian_Aboriginal', 'Common', 'Inherited'],
];
const OTHER = 'other';

const patterns: [name: string, pattern: RegExp][] = [
  ['Emoji', /\p{Extended_Pictographic}|\p{Emoji_Modifier}|\p{Regional_Indicator}/u],
  ...NAMES.map((name): [string, RegExp] => [name, new RegExp(`\\p{Script=${name}}`, 'u')]),
  [OTHER, /[^]/u],
];

/** What was found once: one more than the place in `patterns`, a byte for each code point. */
let known: Uint8Array | undefined;

export function scriptOf(code: number): string {
  known ??= new Uint8Array(0x110000);
  known[code] ||= 1 + patterns.findIndex(([, pattern]) => pattern.test(String.fromCodePoint(code)));
  return patterns[known[code] - 1]![0];
}
