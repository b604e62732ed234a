/** A text or record too long to keep in memory: it waits in a file of its own until it is encoded. */
import { open, rm, type FileHandle } from 'node:fs/promises';
import { areUtf8 } from './are-utf8.js';
import { filePortions } from './file-portions.js';

/** What is longer than this goes to a file. */
export const LONG = 4 * 2 ** 20;

/** What is written to it at once. */
const WRITE = 2 ** 20;

/** A single text above this is refused: lengths and offsets of a sequence are 32 bits in Megatron. */
export const LONGEST = 2 ** 31 - 1;

export class LongText {
  constructor(
    readonly path: string,
    readonly bytes: number,
  ) {}

  /** A portion is gone with the next. */
  portions(): AsyncGenerator<Buffer> {
    return filePortions(this.path);
  }

  isUtf8(): Promise<boolean> {
    return areUtf8(this.portions());
  }

  /** In strings of about a million characters; throws where the bytes are not UTF-8. */
  async *texts(): AsyncGenerator<string> {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    for await (const chunk of this.portions()) yield decoder.decode(chunk, { stream: true });
    const last = decoder.decode();
    if (last) yield last;
  }

  discard(): Promise<void> {
    return rm(this.path, { force: true });
  }
}

/** Bytes that grow: in memory at first, in a file once they are long. */
export interface Growing {
  readonly bytes: number;
  /** The caller may use the memory again when it is done. */
  append(bytes: Buffer): Promise<void>;
  /** What has come together, leaving nothing behind. */
  take(): Promise<Buffer | LongText>;
  discard(): Promise<void>;
}

export function createGrowing(newPath: () => string): Growing {
  let parts: Buffer[] = [];
  let bytes = 0;
  let pending = 0;
  let file: FileHandle | undefined;
  let path = '';
  const flush = async () => {
    const joined = Buffer.concat(parts);
    [parts, pending] = [[], 0];
    await write(joined);
  };
  const write = async (all: Buffer) => {
    for (let at = 0; at < all.length;) at += (await file!.write(all, at)).bytesWritten;
  };
  const reset = () => {
    const was = { file, path };
    [parts, bytes, pending, file, path] = [[], 0, 0, undefined, ''];
    return was;
  };
  return {
    get bytes() {
      return bytes;
    },
    async append(more) {
      if (bytes + more.length > LONGEST) throw new Error(`a text of more than ${LONGEST} bytes is too long`);
      bytes += more.length;
      if (file && more.length >= WRITE / 2) {
        await flush();
        return write(more);
      }
      pending += more.length;
      parts.push(Buffer.from(more));
      if (bytes <= LONG || (file && pending < WRITE)) return;
      if (!file) {
        path = newPath();
        file = await open(path, 'w');
      }
      await flush();
    },
    async take() {
      if (!file) {
        const joined = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
        reset();
        return joined;
      }
      await flush();
      const length = bytes;
      const was = reset();
      await was.file!.close();
      return new LongText(was.path, length);
    },
    async discard() {
      const was = reset();
      await was.file?.close();
      if (was.path) await rm(was.path, { force: true });
    },
  };
}
