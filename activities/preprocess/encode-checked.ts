/**
 * Encodes, and does not take the fast path's word for it: a sample of the input is compared with npm `tokenizers` before
 * any pair gets its name. Where an id differs, all is done again on the slow path.
 */
import { describeDifference } from './encode.js';
import { encodeRows, type Encoded, type EncodeRowsInput } from './encode-rows.js';
import { createSample } from './sample.js';

export interface Checked extends Encoded {
  /** What whoever asked for the data should know about how it was made. */
  warnings: string[];
}

export async function encodeChecked(input: EncodeRowsInput): Promise<Checked> {
  const { encoder } = input;
  if (encoder.path.kind === 'slow')
    return { ...(await encodeRows(input)), warnings: [`slow tokenizer: ${encoder.path.reason}`, ...encoder.warnings] };
  const sample = createSample(encoder.excerpts!);
  try {
    const check = async (counts: Encoded['counts']) => {
      await input.check?.(counts);
      const difference = await encoder.checkAgainstOracle(sample.texts());
      if (difference) throw new WrongIds(describeDifference(difference));
    };
    return { ...(await encodeRows({ ...input, sample, check })), warnings: encoder.warnings };
  } catch (error) {
    if (!(error instanceof WrongIds)) throw error;
    const warning = `the fast tokenizer was wrong, and all was encoded again by npm tokenizers: ${error.message}. The data is right; please report it`;
    return { ...(await encodeRows(input)), warnings: [warning, ...encoder.warnings] };
  }
}

class WrongIds extends Error {}
