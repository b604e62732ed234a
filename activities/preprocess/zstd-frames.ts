/**
 * Looks through Zstandard frames as they come, before a decoder sees them: for where they end, for their checksums, and
 * for how much memory they ask for, since a header of six bytes may ask for gigabytes, which the decoder would move for
 * every block. RFC 8878, sections 3.1.1 and 3.1.2.
 */

const FRAME = 0xfd2fb528;
/** Its last digit is free. */
const SKIPPABLE = 0x184d2a50;
const RLE = 1;

type Field =
  | { name: 'magic' | 'skippable' | 'descriptor' | 'block' | 'end'; bytes: number; checksum: boolean }
  | { name: 'frame'; bytes: number; checksum: boolean; hasWindow: boolean; dictionary: number };

const MAGIC: Field = { name: 'magic', bytes: 4, checksum: false };
const blockOf = (checksum: boolean): Field => ({ name: 'block', bytes: 3, checksum });

/** Bytes of one frame with data. */
export interface FramePart {
  bytes: Uint8Array;
  isLast: boolean;
  /** Of the last part, if the frame has one: the lower half of the XXH64 of what is in the frame. */
  checksum?: number;
  /** Of the last part, if the frame says it: how many bytes come of the frame. */
  size?: bigint;
}

export interface Frames {
  /**
   * @returns what of the next bytes of a file is for the decoder
   * @throws Error where a frame asks for a larger window, and where there should be one and is none
   */
  take(bytes: Uint8Array): FramePart[];
  /** @throws Error where the file ends within a frame, or before the first */
  end(): void;
}

/** @param mostWindow bytes that a frame may have its decoder keep */
export function createFrames(mostWindow: number): Frames {
  let field: Field = MAGIC;
  let have = Buffer.alloc(0);
  let skip = 0;
  let count = 0;
  let contents: bigint | undefined;

  /** @returns whether a frame with data begins or ends with these bytes */
  function read(bytes: Buffer): 'begins' | 'ends' | undefined {
    switch (field.name) {
      case 'magic': {
        const magic = bytes.readUInt32LE();
        count += 1;
        if ((magic & ~0xf) >>> 0 === SKIPPABLE) field = { name: 'skippable', bytes: 4, checksum: false };
        else if (magic !== FRAME)
          throw new Error(`no Zstandard frame begins where ${count === 1 ? 'the first' : 'another'} should`);
        else {
          field = { name: 'descriptor', bytes: 1, checksum: false };
          return 'begins';
        }
        return undefined;
      }
      case 'skippable':
        skip = bytes.readUInt32LE();
        field = MAGIC;
        return undefined;
      case 'descriptor': {
        const descriptor = bytes[0]!;
        const hasWindow = (descriptor & 0x20) === 0;
        const dictionary = [0, 1, 2, 4][descriptor & 3]!;
        const size = [hasWindow ? 0 : 1, 2, 4, 8][descriptor >> 6]!;
        const checksum = (descriptor & 4) !== 0;
        const length = (hasWindow ? 1 : 0) + dictionary + size;
        field = { name: 'frame', bytes: length, checksum, hasWindow, dictionary };
        return undefined;
      }
      case 'frame':
        contents = sizeOf(bytes, field);
        // Without a window it is decoded in one piece.
        refuseLarge(field.hasWindow ? windowOf(bytes[0]!) : Number(contents), mostWindow);
        field = blockOf(field.checksum);
        return undefined;
      case 'block': {
        const header = bytes.readUIntLE(0, 3);
        const isLast = (header & 1) === 1;
        skip = ((header >> 1) & 3) === RLE ? 1 : header >> 3;
        if (isLast) field = { name: 'end', bytes: field.checksum ? 4 : 0, checksum: field.checksum };
        return undefined;
      }
      case 'end':
        field = MAGIC;
        return 'ends';
    }
  }

  return {
    take(bytes) {
      const parts: FramePart[] = [];
      /** Where the part begins that is next to be given, in a frame with data. */
      let start = field.name === 'magic' || field.name === 'skippable' ? undefined : 0;
      for (let at = 0; at < bytes.length || (skip === 0 && field.bytes === 0);) {
        const skipped = Math.min(skip, bytes.length - at);
        skip -= skipped;
        at += skipped;
        if (skip > 0) break;
        const part = bytes.subarray(at, at + field.bytes - have.length);
        at += part.length;
        have = Buffer.concat([have, part]);
        if (have.length < field.bytes) break;
        const whole = have;
        have = Buffer.alloc(0);
        const event = read(whole);
        if (event === 'begins') {
          start = at;
          parts.push({ bytes: whole, isLast: false });
        } else if (event === 'ends') {
          const checksum = whole.length ? { checksum: whole.readUInt32LE() } : {};
          parts.push({
            ...{ bytes: bytes.subarray(start, at), isLast: true, ...checksum },
            ...(contents !== undefined && { size: contents }),
          });
          start = undefined;
        }
      }
      if (start !== undefined && start < bytes.length) parts.push({ bytes: bytes.subarray(start), isLast: false });
      return parts;
    },
    end() {
      if (count === 0) throw new Error('the file is cut off: there is not one Zstandard frame in it');
      if (field.name !== 'magic' || have.length || skip)
        throw new Error(`the file is cut off within Zstandard frame ${count}`);
    },
  };
}

function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** What comes of a frame, where its header says it. */
function sizeOf(header: Buffer, { hasWindow, dictionary }: Extract<Field, { name: 'frame' }>): bigint | undefined {
  const size = header.subarray((hasWindow ? 1 : 0) + dictionary);
  if (size.length === 0) return undefined;
  if (size.length === 8) return size.readBigUInt64LE();
  return BigInt(size.readUIntLE(0, size.length) + (size.length === 2 ? 256 : 0));
}

function refuseLarge(window: number, mostWindow: number): void {
  if (window <= mostWindow) return;
  const [asked, most] = [window, mostWindow].map((bytes) => Math.ceil(bytes / 2 ** 20));
  throw new Error(
    `to decompress it takes a window of ${asked} MB, and ${most} MB is the most: compress it again without \`--long\` and \`--ultra\`, as in \`zstd -dc --long=31 FILE | zstd -19 -o NEW\``,
  );
}
