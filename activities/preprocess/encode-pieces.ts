/**
 * A long text to token ids in constant memory: cut where a cut changes nothing. Tokenizers cut texts into words
 * before anything else, so between a line end and a letter, or before a space, nothing is lost; that it is so for this
 * tokenizer is not assumed but tried, at every seam, on the text around it.
 */
import { type Encoder, NotEncodable } from './encode.js';

/** Characters that are encoded at once. */
export const PIECE = 256 * 1024;
/** Characters to each side of a seam that are encoded both ways. */
const WINDOW = 2048;
const TRIES = 16;
/** Where no seam holds, the text is encoded whole up to this many characters. */
const UNSPLITTABLE = 32 * 1024 * 1024;

type Texts = Iterable<string> | AsyncIterable<string>;

export async function* encodeInPieces(encoder: Encoder, texts: Texts): AsyncGenerator<ArrayLike<number>> {
  // Some tokenizers put a token before every text, and so before every piece.
  const before = (await encodeOne(encoder, '')).length;
  let rest = '';
  let isFirst = true;
  const encode = async (text: string): Promise<ArrayLike<number>> => {
    const ids = await encodeOne(encoder, text);
    const skipped = isFirst ? 0 : before;
    isFirst = false;
    return skipped ? Array.prototype.slice.call(ids, skipped) : ids;
  };
  for await (const text of texts) {
    rest += text;
    while (rest.length >= 2 * PIECE) {
      const seam = await findSeam(encoder, rest, before);
      if (seam === undefined) {
        if (rest.length <= UNSPLITTABLE) break;
        throw new NotEncodable(
          `a text of more than ${UNSPLITTABLE} characters has no place at which this tokenizer lets it be cut`,
        );
      }
      yield await encode(rest.slice(0, seam));
      rest = rest.slice(seam);
    }
  }
  yield await encode(rest);
}

async function findSeam(encoder: Encoder, text: string, before: number): Promise<number | undefined> {
  for (const seam of seamsOf(text, PIECE)) {
    const [left, right] = [text.slice(seam - WINDOW, seam), text.slice(seam, seam + WINDOW)];
    const [whole, first, second] = (await encoder.encode([left + right, left, right])) as [Ids, Ids, Ids];
    if (isConcatenation(whole, first, second, before)) return seam;
  }
  return undefined;
}

type Ids = ArrayLike<number>;

function isConcatenation(whole: Ids, first: Ids, second: Ids, before: number): boolean {
  if (whole.length !== first.length + second.length - before) return false;
  for (let i = 0; i < first.length; i++) if (whole[i] !== first[i]) return false;
  for (let i = before; i < second.length; i++) if (whole[first.length + i - before] !== second[i]) return false;
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
