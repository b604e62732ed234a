/**
 * LZ4 frames in constant memory: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md. Their checksums are passed
 * over; nothing that writes Arrow writes them.
 */
import { queueOf, type ByteQueue } from './page-bytes.js';
import { BLOCK_END, unlz4 } from './unlz4.js';

const FRAME = 0x184d2204;
const [HAS_DICTIONARY, HAS_CHECKSUM, HAS_SIZE, BLOCKS_HAVE_CHECKSUMS] = [0x01, 0x04, 0x08, 0x10];
const AS_IT_IS = 0x80000000;
const PORTION = 2 ** 16;

export const unlz4Frames = (source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> => unlz4(blocksOf(source));

/** The blocks of a frame, which may copy from those before them. */
async function* blocksOf(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const bytes = queueOf(source);
  try {
    if ((await bytes.take(4)).readUInt32LE() !== FRAME) throw new Error('LZ4: no frame begins where one should');
    const flags = (await bytes.take(2))[0]!;
    await bytes.skip((flags & HAS_SIZE ? 8 : 0) + (flags & HAS_DICTIONARY ? 4 : 0) + 1);
    for (;;) {
      const size = (await bytes.take(4)).readUInt32LE();
      if (size === 0) break;
      const isStored = size >= AS_IT_IS;
      const length = isStored ? size - AS_IT_IS : size;
      if (isStored) yield literals(length);
      yield* taken(bytes, length);
      yield BLOCK_END;
      if (flags & BLOCKS_HAVE_CHECKSUMS) await bytes.skip(4);
    }
    if (flags & HAS_CHECKSUM) await bytes.skip(4);
  } finally {
    await bytes.close();
  }
}

async function* taken(bytes: ByteQueue, length: number): AsyncGenerator<Buffer> {
  for (let left = length; left > 0; left -= PORTION) yield await bytes.take(Math.min(PORTION, left));
}

/** The beginning of a block of nothing but so many bytes as they are. */
function literals(length: number): Buffer {
  if (length < 15) return Buffer.of(length << 4);
  const rest = length - 15;
  return Buffer.concat([Buffer.of(0xf0), Buffer.alloc(Math.floor(rest / 255), 255), Buffer.of(rest % 255)]);
}
