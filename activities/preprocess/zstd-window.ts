/**
 * Looks through Zstandard frames as they come, before a decoder sees them, for how much memory they ask for: a header
 * of six bytes may ask for gigabytes, which the decoder would move for every block. RFC 8878, sections 3.1.1 and 3.1.2.
 */

/** What the zstd command reads as well, unless told otherwise. */
export const MOST_WINDOW = 128 * 2 ** 20;

const FRAME = 0xfd2fb528;
/** Its last digit is free. */
const SKIPPABLE = 0x184d2a50;
const RLE = 1;

type Field =
  | { name: 'magic' | 'skippable' | 'descriptor' | 'block'; bytes: number; checksum: boolean }
  | { name: 'frame'; bytes: number; checksum: boolean; hasWindow: boolean; dictionary: number };

const MAGIC: Field = { name: 'magic', bytes: 4, checksum: false };
const blockOf = (checksum: boolean): Field => ({ name: 'block', bytes: 3, checksum });

/**
 * @returns takes the next bytes of a file
 * @throws Error in it, where a frame asks for more than `MOST_WINDOW`
 */
export function windowCheck(): (bytes: Uint8Array) => void {
  let field: Field = MAGIC;
  let have = Buffer.alloc(0);
  let skip = 0;
  let over = false;

  function take(bytes: Buffer): void {
    switch (field.name) {
      case 'magic': {
        const magic = bytes.readUInt32LE();
        if (magic === FRAME) field = { name: 'descriptor', bytes: 1, checksum: false };
        else if ((magic & ~0xf) >>> 0 === SKIPPABLE) field = { name: 'skippable', bytes: 4, checksum: false };
        // What this is, the decoder says.
        else over = true;
        return;
      }
      case 'skippable':
        skip = bytes.readUInt32LE();
        field = MAGIC;
        return;
      case 'descriptor': {
        const descriptor = bytes[0]!;
        const hasWindow = (descriptor & 0x20) === 0;
        const dictionary = [0, 1, 2, 4][descriptor & 3]!;
        const size = [hasWindow ? 0 : 1, 2, 4, 8][descriptor >> 6]!;
        const checksum = (descriptor & 4) !== 0;
        const length = (hasWindow ? 1 : 0) + dictionary + size;
        field = { name: 'frame', bytes: length, checksum, hasWindow, dictionary };
        return;
      }
      case 'frame':
        refuseLarge(windowOf(bytes, field));
        field = blockOf(field.checksum);
        return;
      case 'block': {
        const header = bytes.readUIntLE(0, 3);
        const isLast = (header & 1) === 1;
        skip = ((header >> 1) & 3) === RLE ? 1 : header >> 3;
        if (isLast && field.checksum) skip += 4;
        if (isLast) field = MAGIC;
      }
    }
  }

  return (bytes) => {
    for (let at = 0; !over && at < bytes.length;) {
      const skipped = Math.min(skip, bytes.length - at);
      skip -= skipped;
      at += skipped;
      if (skip > 0) return;
      const part = bytes.subarray(at, at + field.bytes - have.length);
      at += part.length;
      have = Buffer.concat([have, part]);
      if (have.length < field.bytes) return;
      const whole = have;
      have = Buffer.alloc(0);
      take(whole);
    }
  };
}

/** A frame without a window is decoded in one piece, as large as it says that it is. */
function windowOf(bytes: Buffer, { hasWindow, dictionary }: Extract<Field, { name: 'frame' }>): number {
  if (hasWindow) {
    const base = 2 ** (10 + (bytes[0]! >> 3));
    return base + (base / 8) * (bytes[0]! & 7);
  }
  const size = bytes.subarray(dictionary);
  if (size.length === 8) return Number(size.readBigUInt64LE());
  return size.readUIntLE(0, size.length) + (size.length === 2 ? 256 : 0);
}

function refuseLarge(window: number): void {
  if (window <= MOST_WINDOW) return;
  const [asked, most] = [window, MOST_WINDOW].map((bytes) => Math.ceil(bytes / 2 ** 20));
  throw new Error(
    `to decompress it takes a window of ${asked} MB, and ${most} MB is the most: compress it again without \`--long\` above 27`,
  );
}
