/** The lease of a launch: how long its ranks may run on without anybody watching. Never in wall time, which can jump. */
import { writeJson } from './atomic.js';
import type { LeaseFile } from './generation-files.js';
import { bootId, bootSeconds } from './process.js';

export async function renewLease(path: string, token: number, seconds: number): Promise<void> {
  const deadline = (await bootSeconds()) + seconds;
  await writeJson(path, { token, bootId: await bootId(), deadline } satisfies LeaseFile);
}
