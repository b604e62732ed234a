/** A text too long for memory to token ids, in portions of a size that does not depend on it. */
import { type Encoder, NotEncodable } from './encode.js';
import { encodeInPieces } from './encode-pieces.js';
import { createIds } from './encoder/ids.js';
import type { LongText } from './long-text.js';
import type { Sample } from './sample.js';

/** A portion is gone when the next is asked for. */
export async function* encodeLong(
  encoder: Encoder,
  text: string | LongText,
  sample?: Sample,
): AsyncGenerator<Int32Array> {
  if (encoder.path.kind === 'fast') yield* encodeChunks(encoder, text, sample);
  else
    for await (const ids of encodeInPieces(encoder, typeof text === 'string' ? [text] : text.texts()))
      yield Int32Array.from(ids);
}

/** Encodes it for nothing but that. */
export async function whyUnencodable(encoder: Encoder, text: string | LongText): Promise<string | undefined> {
  try {
    for await (const _ of encodeLong(encoder, text));
    return undefined;
  } catch (error) {
    if (error instanceof NotEncodable) return error.message;
    throw error;
  }
}

/** The fast path finds places to cut by itself. */
async function* encodeChunks(encoder: Encoder, text: string | LongText, sample?: Sample): AsyncGenerator<Int32Array> {
  const ids = createIds();
  const document = encoder.open(ids.append);
  for await (const chunk of typeof text === 'string' ? [Buffer.from(text)] : text.portions()) {
    sample?.offerPart(chunk);
    await document.write(chunk);
    yield ids.view();
    ids.clear();
  }
  await document.end();
  yield ids.view();
}
