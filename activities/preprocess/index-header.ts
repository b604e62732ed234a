/**
 * Header of Megatron's `.idx`, little-endian: magic, version, dtype, sequences S, length of the document index D;
 * then int32[S] lengths, int64[S] byte pointers into `.bin`, int64[D] document index (0 first, S last).
 */
export interface IndexHeader {
  sequences: number;
  /** One more than there are documents. */
  documentIndex: number;
}

export const HEADER_SIZE = 34;
/** MindSpeed-LLM always writes int32, whatever the vocabulary. */
export const TOKEN_SIZE = 4;

const MAGIC = 'MMIDIDX\0\0';
const VERSION = 1n;
const INT32 = 4;

export function encodeHeader({ sequences, documentIndex }: IndexHeader): Buffer {
  const header = Buffer.alloc(HEADER_SIZE);
  header.write(MAGIC, 'latin1');
  header.writeBigUInt64LE(VERSION, 9);
  header.writeUInt8(INT32, 17);
  header.writeBigUInt64LE(BigInt(sequences), 18);
  header.writeBigUInt64LE(BigInt(documentIndex), 26);
  return header;
}

/** `undefined` for what no MindSpeed-LLM wrote. */
export function decodeHeader(header: Buffer): IndexHeader | undefined {
  if (header.length < HEADER_SIZE || header.toString('latin1', 0, MAGIC.length) !== MAGIC) return undefined;
  if (header.readBigUInt64LE(9) !== VERSION || header.readUInt8(17) !== INT32) return undefined;
  return { sequences: Number(header.readBigUInt64LE(18)), documentIndex: Number(header.readBigUInt64LE(26)) };
}

export const lengthsAt = HEADER_SIZE;
export const pointersAt = ({ sequences }: IndexHeader): number => HEADER_SIZE + 4 * sequences;
export const documentsAt = ({ sequences }: IndexHeader): number => HEADER_SIZE + 12 * sequences;
export const indexSize = ({ sequences, documentIndex }: IndexHeader): number =>
  HEADER_SIZE + 12 * sequences + 8 * documentIndex;
