/** A text too long for memory to token ids, in portions of a size that does not depend on it. */
import { type Encoder, NotEncodable } from './encode.js';
import { encodeInPieces } from './encode-pieces.js';
import { createIds } from './encoder/ids.js';
import { LongText } from './long-text.js';
import { stringOf, type Text } from './rows.js';
import type { Sample } from './sample.js';

/** A portion is gone when the next is asked for. */
export async function* encodeLong(
  encoder: Encoder,
  text: Text | LongText,
  sample?: Sample,
): AsyncGenerator<Int32Array> {
  if (encoder.path.kind === 'fast') yield* encodeChunks(encoder, text, sample);
  else
    for await (const ids of encodeInPieces(encoder, text instanceof LongText ? text.texts() : [stringOf(text)]))
      yield Int32Array.from(ids);
}

/** Encodes it for nothing but that. */
export async function whyUnencodable(encoder: Encoder, text: Text | LongText): Promise<string | undefined> {
  try {
    for await (const _ of encodeLong(encoder, text));
    return undefined;
  } catch (error) {
    if (error instanceof NotEncodable) return error.message;
    throw error;
  }
}

/** The fast path finds places to cut by itself. */
async function* encodeChunks(encoder: Encoder, text: Text | LongText, sample?: Sample): AsyncGenerator<Int32Array> {
  const ids = createIds();
  const document = encoder.open(ids.append, sample?.offerJoint);
  for await (const chunk of text instanceof LongText
    ? text.portions()
    : [typeof text === 'string' ? Buffer.from(text) : text]) {
    await document.write(chunk);
    yield ids.view();
    ids.clear();
  }
  await document.end();
  yield ids.view();
}
