/** The bytes of a file in one buffer, again and again. */
import { open } from 'node:fs/promises';

const PORTION = 2 ** 20;

/**
 * From one place to another, else to the end. A portion is gone with the next: memory outside of V8's heap is given back too late
 * when there is much of it, and later still on a busy machine.
 */
export async function* filePortions(path: string, from = 0, to = Infinity): AsyncGenerator<Buffer> {
  if (from >= to) return;
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.allocUnsafeSlow(Math.min(PORTION, to - from));
    for (let at = from; at < to;) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, to - at), at);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}
