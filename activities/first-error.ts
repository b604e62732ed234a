/** When a member's first error came: few lines say so themselves, so a watcher notes when it read one. */
import { stat } from 'node:fs/promises';
import { readJson, writeJson } from './atomic.js';
import type { filesOf } from './generation-files.js';
import type { TrainingLog } from './training-log.js';

interface NotedError {
  text: string;
  at: number;
}

type Files = Pick<ReturnType<typeof filesOf>, 'firstError' | 'log'>;

/** Keeps the time at which the log's first error was read first, whatever number of watchers read it since. */
export async function openErrorNotes({ firstError: path, log: logPath }: Files) {
  let noted = await readJson<NotedError>(path);
  return {
    async take(log: TrainingLog): Promise<void> {
      const text = log.firstError();
      if (text === undefined || text === noted?.text) return;
      // A watcher that comes late reads of it late, but no line is newer than the file.
      noted = { text, at: Math.min(Date.now(), await writtenAt(logPath)) };
      // It only helps to put errors in order: a full disk must not end the watch for it.
      await writeJson(path, noted).catch(() => undefined);
    },
  };
}

/** Milliseconds since the epoch by this node's clock; of an error that nobody read, when the log was written last. */
export async function firstErrorAt({ firstError, log: logPath }: Files, log: TrainingLog): Promise<number | undefined> {
  const text = log.firstError();
  if (text === undefined) return undefined;
  const noted = await readJson<NotedError>(firstError).catch(() => undefined);
  return log.firstErrorAt() ?? (noted?.text === text ? noted.at : await writtenAt(logPath));
}

const writtenAt = async (path: string): Promise<number> => (await stat(path)).mtimeMs;
