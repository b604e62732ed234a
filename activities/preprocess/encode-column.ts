/** The texts of one key to token sequences, as GeneralPretrainHandler makes them. */
import { failure } from '../failures.js';
import type { KeyCounts } from './counts.js';
import type { Encoder } from './encode.js';
import { encodeInPieces, PIECE } from './encode-pieces.js';
import { LongText } from './long-text.js';
import type { PairWriter } from './pair-writer.js';
import { corrupt, type Row } from './rows.js';
import { isTextList, type Place } from './usable-rows.js';

export interface ColumnOptions {
  encoder: Encoder;
  appendEod: boolean;
  vocabSize: number;
  /** Documents of this length or longer make no sequence. */
  seqLength?: number | undefined;
  /** Fills up to a multiple, one whole multiple more where it is one already, as MindSpeed-LLM does. */
  pad?: { multiple: number; id: number } | undefined;
  /** Ids that only the tokenizer's own markers should have. */
  special?: ReadonlySet<number> | undefined;
}

export type ColumnEncoder = (
  rows: Row[],
  column: number,
  writer: PairWriter,
  place: Place,
  counts: KeyCounts,
) => Promise<{ documents: number; tokens: number }>;

export function createColumnEncoder(options: ColumnOptions): ColumnEncoder {
  const { encoder, appendEod, vocabSize, seqLength = Infinity, pad, special } = options;

  /** What follows the tokens of a text. */
  function tailOf(length: number): number[] {
    const eod = appendEod ? [encoder.eod!] : [];
    if (!pad) return eod;
    const missing = (Math.floor(length / pad.multiple) + 1) * pad.multiple - length - eod.length;
    return [...Array.from({ length: Math.max(0, missing) }, () => pad.id), ...eod];
  }

  async function checkIds(ids: ArrayLike<number>, { row }: Row, { path, rowsBefore }: Place): Promise<boolean> {
    let hasSpecial = false;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (id >= vocabSize)
        throw failure(
          'InvalidInput',
          `${path}, row ${(await rowsBefore()) + row + 1}: token id ${id} does not fit a vocabulary of ${vocabSize}. Use the model's own tokenizer, or a larger model.vocab`,
          { nonRetryable: true },
        );
      if (special?.has(id)) hasSpecial = true;
    }
    return hasSpecial;
  }

  return async (rows, column, writer, place, counts) => {
    let waiting: Row[] = [];
    let [documents, tokens] = [0, 0];
    const drop = async () => {
      counts.tooLong += 1;
      documents += 1;
      await writer.addEmptyDocument();
    };

    async function addShort(): Promise<void> {
      const encoded = await encoder.encode(waiting.map(({ values }) => values[column] as string));
      let sequences: Int32Array[] = [];
      for (const [index, ids] of encoded.entries()) {
        if (await checkIds(ids, waiting[index]!, place)) counts.special += 1;
        const tail = tailOf(ids.length);
        const sequence = new Int32Array(ids.length + tail.length);
        sequence.set(ids);
        sequence.set(tail, ids.length);
        if (sequence.length >= seqLength) {
          await writer.add(sequences);
          sequences = [];
          await drop();
          continue;
        }
        sequences.push(sequence);
        documents += 1;
        tokens += sequence.length;
      }
      await writer.add(sequences);
      waiting = [];
    }

    async function addLong(row: Row, texts: () => Iterable<string> | AsyncIterable<string>): Promise<void> {
      if (seqLength !== Infinity) {
        let length = 0;
        for await (const ids of encodeInPieces(encoder, texts())) {
          length += ids.length;
          if (length >= seqLength) return drop();
        }
        if (length + tailOf(length).length >= seqLength) return drop();
      }
      let length = 0;
      let hasSpecial = false;
      for await (const ids of encodeInPieces(encoder, texts())) {
        if (await checkIds(ids, row, place)) hasSpecial = true;
        length += ids.length;
        await writer.append(Int32Array.from(ids));
      }
      const tail = tailOf(length);
      await writer.append(Int32Array.from(tail));
      await writer.endSequence();
      counts.special += hasSpecial ? 1 : 0;
      documents += 1;
      tokens += length + tail.length;
    }

    async function addList(row: Row, texts: string[]): Promise<void> {
      const encoded = await encoder.encode(texts);
      if (new Set(encoded.map(({ length }) => length)).size > 1)
        throw corrupt(
          place.path,
          (await place.rowsBefore()) + row.row,
          'expected a text, found a list of texts of different lengths',
        );
      for (const ids of encoded) await writer.append(Int32Array.from(ids));
      await writer.endSequence();
      documents += 1;
      tokens += encoded.reduce((sum, { length }) => sum + length, 0);
    }

    for (const row of rows) {
      const value = row.values[column];
      if (value === '' || (isTextList(value) && value.length === 0)) counts.empty += 1;
      else if (typeof value === 'string' && value.length < 2 * PIECE) waiting.push(row);
      else {
        await addShort();
        if (value instanceof LongText) {
          await addLong(row, () => value.texts());
          await value.discard();
        } else if (typeof value === 'string') await addLong(row, () => [value]);
        else await addList(row, value as string[]);
      }
    }
    await addShort();
    return { documents, tokens };
  };
}
