/** Reads logs that grow, in bounded pieces. */
import { open, type FileHandle } from 'node:fs/promises';
import { isMissing } from './atomic.js';
import { createTrainingLog, type TrainingLog } from './training-log.js';

const PIECE = 2 ** 18;
/** The rest of a longer line is dropped: no line that matters has as much. */
const MAX_LINE = 2 ** 14;

export interface Follower {
  /** Hands on the lines of one more piece; false when there was nothing more. */
  read(): Promise<boolean>;
  /** Hands on what there is of a last line without a newline. */
  flush(): void;
}

export function followLog(path: string, onLine: (line: string) => void): Follower {
  let offset = 0;
  let rest = '';
  const buffer = Buffer.alloc(PIECE);
  const decoder = new TextDecoder();
  return {
    async read() {
      const bytesRead = await withFile(path, 0, async (file) => (await file.read(buffer, 0, PIECE, offset)).bytesRead);
      offset += bytesRead;
      // A progress bar goes back to the start of its line.
      const lines = (rest + decoder.decode(buffer.subarray(0, bytesRead), { stream: true })).split(/\r\n|[\r\n]/);
      rest = lines.pop()!.slice(0, MAX_LINE);
      for (const line of lines) onLine(line.slice(0, MAX_LINE));
      return bytesRead > 0;
    },
    flush() {
      if (rest) onLine(rest);
      rest = '';
    },
  };
}

/** A whole training log; of one that is not there, nothing. */
export async function readLogFile(path: string): Promise<TrainingLog> {
  const log = createTrainingLog();
  const follower = followLog(path, (line) => void log.line(line));
  while (await follower.read());
  follower.flush();
  return log;
}

/** The end of a file, at most `bytes` of it. */
export const tailOf = (path: string, bytes: number): Promise<string> =>
  withFile(path, '', async (file) => {
    const { size } = await file.stat();
    const buffer = Buffer.alloc(Math.min(size, bytes));
    await file.read(buffer, 0, buffer.length, size - buffer.length);
    // The cut may have hit the middle of a character.
    return buffer.toString('utf8').replace(/^\uFFFD+/, '');
  });

async function withFile<T>(path: string, missing: T, work: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (isMissing(error)) return missing;
    throw error;
  }
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}
