/**
 * What Unicode says of each character, asked of npm `tokenizers` itself: it and Node know different versions of Unicode,
 * and a letter of this year's would be split one way here and another way there.
 */
import { nfcNormalizer, nfdNormalizer, Tokenizer } from 'tokenizers';
import { HAN_PATTERN, type Splitter } from './splitter.js';

/** As in assembly/characters.ts. */
const LETTER = 1;
const NUMBER = 2;
const SPACE = 3;
const NEWLINE = 4;
const PUNCTUATION = 5;
const HAN = 8;
const UNSTABLE = 16;
const COMPOSES = 32;
/** As in assembly/nfc.ts. */
const CHANGES = 0xff;

const CODE_POINTS = 0x110000;
/** Short questions: the answer's offsets make long ones cost more than their length. */
const CHUNK = 0x400;

const classesOf = new Map<string, Uint8Array>();

/** One byte a code point: letter, number, space, newline, or none of them; for DeepSeek as in assembly/scan-deepseek.ts. */
export function characterClasses(splitter: Splitter): Uint8Array {
  const name = splitter === 'deepseek' ? splitter : 'plain';
  const known = classesOf.get(name) ?? (name === 'deepseek' ? classesOfDeepSeek() : plainClasses('\\p{L}'));
  classesOf.set(name, known);
  return known;
}

function plainClasses(letters: string): Uint8Array {
  const classes = new Uint8Array(CODE_POINTS);
  // Two questions tell four answers apart.
  const first = matcher(`[${letters}\\p{N}]+`);
  const second = matcher(`[${letters}\\s]+`);
  for (const text of chunks()) {
    for (const code of first(text)) classes[code] = NUMBER;
    for (const code of second(text)) classes[code] = classes[code] === NUMBER ? LETTER : SPACE;
  }
  classes[0x0a] = NEWLINE;
  classes[0x0d] = NEWLINE;
  return classes;
}

function classesOfDeepSeek(): Uint8Array {
  const classes = plainClasses('\\p{L}\\p{M}');
  const punctuation = matcher('[\\p{P}\\p{S}]+');
  const han = matcher(HAN_PATTERN);
  for (const text of chunks()) {
    for (const code of punctuation(text)) classes[code] = PUNCTUATION;
    for (const code of han(text)) classes[code]! |= HAN;
  }
  return classes;
}

/** Of the characters of a text, those that an expression matches. */
function matcher(pattern: string): (text: string) => number[] {
  const split = { type: 'Split', pattern: { Regex: pattern }, behavior: 'Removed', invert: true };
  const model = { type: 'WordLevel', vocab: {}, unk_token: '' };
  const preTokenizer = Tokenizer.fromString(
    JSON.stringify({ version: '1.0', added_tokens: [], pre_tokenizer: split, model }),
  ).getPreTokenizer()!;
  return (text) => preTokenizer.preTokenizeString(text).flatMap(([match]) => codePoints(match));
}

export interface Normalisation {
  /** UNSTABLE and COMPOSES, to be added to a character's class. */
  flags: Map<number, number>;
  /** Place in canonical order of each unstable character, or CHANGES. */
  orders: Map<number, number>;
}

let normalisation: Normalisation | undefined;

/** What may make a text not be NFC: characters that change, those that combine with one before them, and marks. */
export function normalisationOf(): Normalisation {
  if (normalisation) return normalisation;
  const nfc = nfcNormalizer();
  const nfd = nfdNormalizer();
  const flags = new Map<number, number>();
  const orders = new Map<number, number>();
  const add = (code: number, flag: number) => flags.set(code, (flags.get(code) ?? 0) | flag);
  const changes = (code: number) => {
    add(code, UNSTABLE);
    orders.set(code, CHANGES);
  };
  const marks: string[] = [];
  for (const char of unsettled(nfd)) {
    const parts = codePoints(nfd.normalizeString(char));
    const isPlain = parts.length === 1 && parts[0] === char.codePointAt(0);
    if (isPlain) {
      marks.push(char);
      continue;
    }
    if (nfc.normalizeString(char) !== char) changes(char.codePointAt(0)!);
    for (const part of parts.slice(1)) changes(part);
    // What combines with the last part: everything before it, itself combined.
    const [start] = codePoints(nfc.normalizeString(String.fromCodePoint(...parts.slice(0, -1))));
    if (start !== undefined) add(start, COMPOSES);
    add(parts[0]!, COMPOSES);
  }
  for (const [order, sameOrder] of inCanonicalOrder(marks, nfd).entries()) {
    for (const mark of sameOrder) {
      const code = mark.codePointAt(0)!;
      if (orders.get(code) === CHANGES) continue;
      add(code, UNSTABLE);
      orders.set(code, order + 1);
    }
  }
  return (normalisation = { flags, orders });
}

/** A mark of the first and one of the last combining class: whatever has a class changes place with one of them. */
const FIRST_MARK = '\u0334';
const LAST_MARK = '\u0345';

/** Characters that decompose, or are marks with a combining class. */
function* unsettled(nfd: { normalizeString(text: string): string }): Generator<string> {
  for (const text of chunks()) {
    const chars = [...text].filter((char) => char !== '\n');
    const asked = chars.map((char) => `${LAST_MARK}${char}${FIRST_MARK}`);
    const question = asked.join('\n');
    const answer = nfd.normalizeString(question);
    // As are most of a million characters: nobody assigned them.
    if (answer === question) continue;
    const answers = answer.split('\n');
    for (const [index, char] of chars.entries()) if (answers[index] !== asked[index]) yield char;
  }
}

/** Marks by combining class, the lowest first: two marks change places exactly when the second has the lower class. */
function inCanonicalOrder(marks: string[], nfd: { normalizeString(text: string): string }): string[][] {
  const isAfter = (a: string, b: string) => nfd.normalizeString(a + b) !== a + b;
  const classes: string[][] = [];
  for (const mark of new Set(marks)) {
    let low = 0;
    let high = classes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isAfter(mark, classes[middle]![0]!)) low = middle + 1;
      else high = middle;
    }
    const found = classes[low];
    if (found && !isAfter(found[0]!, mark)) found.push(mark);
    else classes.splice(low, 0, [mark]);
  }
  return classes;
}

function* chunks(): Generator<string> {
  for (let start = 0; start < CODE_POINTS; start += CHUNK) {
    let text = '';
    for (let code = start; code < start + CHUNK; code++)
      if (code < 0xd800 || code > 0xdfff) text += String.fromCodePoint(code);
    if (text !== '') yield text;
  }
}

const codePoints = (text: string): number[] => Array.from(text, (char) => char.codePointAt(0)!);
