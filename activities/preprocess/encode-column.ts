/** The texts of one key to token sequences, as GeneralPretrainHandler makes them. */
import { failure } from '../failures.js';
import type { KeyCounts } from './counts.js';
import { type Encoder, NotEncodable } from './encode.js';
import { encodeLong } from './encode-long.js';
import { PIECE } from './encode-pieces.js';
import { createIds } from './encoder/ids.js';
import type { IdFacts, Seen, TextLook } from './figures.js';
import { LongText } from './long-text.js';
import type { PairWriter } from './pair-writer.js';
import { corrupt, isEmptyText, isText, type Row, type Text } from './rows.js';
import type { Sample } from './sample.js';
import { isTextList, type Place } from './usable-rows.js';

/** Characters, or bytes, from which on a text's ids are written in portions. */
const LONG_TEXT = 512 * 1024;

export interface ColumnOptions extends IdFacts {
  encoder: Encoder;
  appendEod: boolean;
  /** Documents of this length or longer make no sequence. */
  seqLength?: number | undefined;
  /** Fills up to a multiple, one whole multiple more where it is one already, as MindSpeed-LLM does. */
  pad?: { multiple: number; id: number } | undefined;
  /** Is offered every text. */
  sample?: Sample | undefined;
}

/** Where the texts of a key go, and what is known of them so far. */
export interface Column {
  writer: PairWriter;
  counts: KeyCounts;
  look: TextLook;
}

export type ColumnEncoder = (
  rows: Row[],
  column: number,
  place: Place,
  to: Column,
) => Promise<{ documents: number; tokens: number }>;

export function createColumnEncoder(options: ColumnOptions): ColumnEncoder {
  const { encoder, appendEod, vocabSize, seqLength = Infinity, pad, sample } = options;
  const made = createIds();

  /** What follows the tokens of a text. */
  function tailOf(length: number): number[] {
    const eod = appendEod ? [encoder.eod!] : [];
    if (!pad) return eod;
    const missing = (Math.floor(length / pad.multiple) + 1) * pad.multiple - length - eod.length;
    return [...Array.from({ length: Math.max(0, missing) }, () => pad.id), ...eod];
  }

  /** Whether there is a special id among those of a text. */
  async function check({ hasSpecial, tooLarge }: Seen, { row }: Row, { path, rowsBefore }: Place): Promise<boolean> {
    if (tooLarge === undefined) return hasSpecial;
    throw failure(
      'InvalidInput',
      `${path}, row ${(await rowsBefore()) + row + 1}: token id ${tooLarge} does not fit a vocabulary of ${vocabSize}. Use the model's own tokenizer, or a larger model.vocab`,
      { nonRetryable: true },
    );
  }

  return async (rows, column, place, { writer, counts, look }) => {
    let waiting: Row[] = [];
    let [documents, tokens] = [0, 0];
    const at = ({ row }: Row, length: number) => ({ file: place.file, row: row + 1, tokens: length });
    const drop = async () => {
      counts.tooLong += 1;
      documents += 1;
      await writer.addEmptyDocument();
    };

    /** Says of a text without ids where it is. */
    async function naming<T>(rowOf: (document: number) => Row, encode: () => Promise<T>): Promise<T> {
      try {
        return await encode();
      } catch (error) {
        if (!(error instanceof NotEncodable)) throw error;
        throw corrupt(place.path, (await place.rowsBefore()) + rowOf(error.document ?? 0).row, error.message);
      }
    }

    async function addShort(): Promise<void> {
      if (waiting.length === 0) return;
      const { ids, ends } = await naming(
        (document) => waiting[document]!,
        () => encoder.encodeBatch(waiting.map(({ values }) => values[column] as Text)),
      );
      made.clear();
      let lengths: number[] = [];
      for (const [index, end] of ends.entries()) {
        const sequence = ids.subarray(index === 0 ? 0 : ends[index - 1]!, end);
        const row = waiting[index]!;
        sample?.offer(row.values[column] as Text, sequence);
        const seen = look.whole(sequence);
        // No promise for each of many short texts.
        if (seen.tooLarge !== undefined || seen.hasSpecial) if (await check(seen, row, place)) counts.special += 1;
        const tail = tailOf(sequence.length);
        const length = sequence.length + tail.length;
        if (length >= seqLength) {
          await writer.add(made.view(), lengths);
          made.clear();
          lengths = [];
          await drop();
          continue;
        }
        made.append(sequence);
        made.append(tail);
        lengths.push(length);
        documents += 1;
        tokens += length;
        look.document(at(row, length));
      }
      await writer.add(made.view(), lengths);
      waiting = [];
    }

    async function addLong(row: Row, text: Text | LongText): Promise<void> {
      if (seqLength !== Infinity) {
        let length = 0;
        for await (const ids of encodeLong(encoder, text)) {
          length += ids.length;
          if (length >= seqLength) return drop();
        }
        if (length + tailOf(length).length >= seqLength) return drop();
      }
      let length = 0;
      for await (const ids of encodeLong(encoder, text, sample)) {
        look.portion(ids);
        length += ids.length;
        await writer.append(ids);
      }
      if (await check(look.joined(), row, place)) counts.special += 1;
      const tail = tailOf(length);
      await writer.append(Int32Array.from(tail));
      await writer.endSequence();
      documents += 1;
      tokens += length + tail.length;
      look.document(at(row, length + tail.length));
    }

    async function addList(row: Row, texts: string[]): Promise<void> {
      const encoded = await encoder.encode(texts);
      if (new Set(encoded.map(({ length }) => length)).size > 1)
        throw corrupt(
          place.path,
          (await place.rowsBefore()) + row.row,
          'expected a text, found a list of texts of different lengths',
        );
      for (const sequence of encoded) {
        const ids = Int32Array.from(sequence);
        look.portion(ids);
        await writer.append(ids);
      }
      if (await check(look.joined(), row, place)) counts.special += 1;
      await writer.endSequence();
      const length = encoded.reduce((sum, ids) => sum + ids.length, 0);
      documents += 1;
      tokens += length;
      look.document(at(row, length));
    }

    for (const row of rows) {
      const value = row.values[column];
      if (isEmptyText(value) || (isTextList(value) && value.length === 0)) counts.empty += 1;
      else if (isText(value) && value.length < (encoder.path.kind === 'fast' ? LONG_TEXT : 2 * PIECE))
        waiting.push(row);
      else {
        await addShort();
        if (isTextList(value)) await addList(row, value);
        else
          await naming(
            () => row,
            () => addLong(row, value as Text | LongText),
          );
        if (value instanceof LongText) await value.discard();
      }
    }
    await addShort();
    return { documents, tokens };
  };
}
