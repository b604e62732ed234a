/** Follows a log that grows: whole lines since the last look, in bounded pieces. */
import { open } from 'node:fs/promises';

const PIECE = 1 << 20;
/** A line longer than this is handed on in parts rather than kept. */
const MAX_LINE = 1 << 16;

export class LogTail {
  private offset = 0;
  private rest = '';
  private readonly decoder = new TextDecoder();

  constructor(private readonly path: string) {}

  /** Lines that are complete since the last call; of a log that is not there yet, none. */
  async *lines(): AsyncGenerator<string> {
    const file = await open(this.path, 'r').catch(() => undefined);
    if (!file) return;
    try {
      const buffer = Buffer.alloc(PIECE);
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, PIECE, this.offset);
        if (bytesRead === 0) return;
        this.offset += bytesRead;
        const lines = (this.rest + this.decoder.decode(buffer.subarray(0, bytesRead), { stream: true })).split('\n');
        this.rest = lines.pop()!;
        if (this.rest.length > MAX_LINE) {
          lines.push(this.rest);
          this.rest = '';
        }
        yield* lines;
      }
    } finally {
      await file.close();
    }
  }
}

/** The end of a file, at most `bytes` of it. */
export async function tailOf(path: string, bytes: number): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return '';
  try {
    const { size } = await file.stat();
    const length = Math.min(size, bytes);
    const buffer = Buffer.alloc(length);
    await file.read(buffer, 0, length, size - length);
    return buffer.toString('utf8');
  } finally {
    await file.close();
  }
}
