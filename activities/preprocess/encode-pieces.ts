/**
 * A long text to token ids in constant memory: cut where a cut changes nothing. Tokenizers cut texts into words
 * before anything else, so between a line end and a letter, or before a space, nothing is lost; that it is so for this
 * tokenizer is not assumed but tried, at every seam, on the text around it.
 */
import { type Encoder, NotEncodable } from './encode.js';

/** Characters that are encoded at once: npm `tokenizers` takes up to a kilobyte for each. */
export const PIECE = 64 * 1024;
/** Characters to each side of a seam that are encoded both ways. */
const WINDOW = 2048;
const TRIES = 16;
/** Where no seam holds, the text is encoded whole up to this many characters. */
const UNSPLITTABLE = 32 * 1024 * 1024;

type Texts = Iterable<string> | AsyncIterable<string>;

/** Ends a piece and begins the next, which may leave out a space that the tokenizer puts before every text by itself. */
interface Seam {
  end: number;
  start: number;
}

/** How many tokens a tokenizer puts before and after every text, and so every piece. */
interface Around {
  before: number;
  after: number;
}

export async function* encodeInPieces(encoder: Encoder, texts: Texts): AsyncGenerator<ArrayLike<number>> {
  const around = await findAround(encoder);
  let rest = '';
  let isFirst = true;
  const encode = async (text: string, isLast: boolean): Promise<ArrayLike<number>> => {
    const ids = await encodeOne(encoder, text);
    const [from, to] = [isFirst ? 0 : around.before, isLast ? ids.length : ids.length - around.after];
    isFirst = false;
    return from === 0 && to === ids.length ? ids : Array.prototype.slice.call(ids, from, to);
  };
  for await (const text of texts) {
    rest += text;
    while (rest.length >= 2 * PIECE) {
      const seam = await findSeam(encoder, rest, around);
      if (seam === undefined) {
        if (rest.length <= UNSPLITTABLE) break;
        throw new NotEncodable(
          `a text of more than ${UNSPLITTABLE} characters has no place at which this tokenizer lets it be cut`,
        );
      }
      yield await encode(rest.slice(0, seam.end), false);
      rest = rest.slice(seam.start);
    }
  }
  yield await encode(rest, true);
}

const PROBES = ['a', '中', '1'];

/** What is there for an empty text too stands before or after any other; texts show which of it does which. */
async function findAround(encoder: Encoder): Promise<Around> {
  const [empty, ...probes] = (await encoder.encode(['', ...PROBES])) as [Ids, ...Ids[]];
  for (let before = empty.length; before > 0; before--)
    if (probes.every((ids) => isAround(empty, ids, before))) return { before, after: empty.length - before };
  return { before: 0, after: empty.length };
}

function isAround(empty: Ids, ids: Ids, before: number): boolean {
  for (let i = 0; i < empty.length; i++) {
    const at = i < before ? i : ids.length - empty.length + i;
    if (empty[i] !== ids[at]) return false;
  }
  return true;
}

async function findSeam(encoder: Encoder, text: string, around: Around): Promise<Seam | undefined> {
  for (const end of seamsOf(text, PIECE))
    for (const start of text[end] === ' ' ? [end, end + 1] : [end]) {
      const [left, right] = [text.slice(end - WINDOW, end), text.slice(start, start + WINDOW)];
      const both = text.slice(end - WINDOW, start + WINDOW);
      const [whole, first, second] = (await encoder.encode([both, left, right])) as [Ids, Ids, Ids];
      if (isConcatenation(whole, first, second, around)) return { end, start };
    }
  return undefined;
}

type Ids = ArrayLike<number>;

function isConcatenation(whole: Ids, first: Ids, second: Ids, { before, after }: Around): boolean {
  const seam = first.length - after;
  if (whole.length !== seam + second.length - before) return false;
  for (let i = 0; i < seam; i++) if (whole[i] !== first[i]) return false;
  for (let i = before; i < second.length; i++) if (whole[seam + i - before] !== second[i]) return false;
  return true;
}

/** Places not far from `near`: after line ends if there are any, else before spaces. */
function seamsOf(text: string, near: number): number[] {
  const around = text.slice(near - PIECE / 4, near + PIECE / 4);
  for (const pattern of [/\n(?=[A-Za-z\p{Script=Han}])/gu, /\p{L}(?= \p{L})/gu, /\S(?=\s\S)/gu]) {
    const found = [...firstMatches(around, pattern)];
    if (found.length) return found.map((at) => near - PIECE / 4 + at);
  }
  return [];
}

function* firstMatches(text: string, pattern: RegExp): Generator<number> {
  let count = 0;
  for (const { 0: match, index } of text.matchAll(pattern)) {
    yield index + match.length;
    if (++count === TRIES) return;
  }
}

const encodeOne = async (encoder: Encoder, text: string): Promise<Ids> => (await encoder.encode([text]))[0]!;
