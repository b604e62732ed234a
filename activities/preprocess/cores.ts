/** As many shards at a time on a node as it has cores, and memory for: those that wait heartbeat, and take no memory. */
import { availableParallelism, freemem } from 'node:os';

/** What an encoding process takes at most, with the one that checks it. */
const MEMORY = 512 * 2 ** 20;

let running = 0;
const waiting: (() => void)[] = [];

const isFree = (): boolean => running === 0 || (running < availableParallelism() && freemem() > MEMORY);

export async function onCore<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  while (!isFree()) await turn(signal);
  signal.throwIfAborted();
  running += 1;
  try {
    return await work();
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}

/** Until somebody has finished. */
async function turn(signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  let onAbort: (() => void) | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      waiting.push(resolve);
      onAbort = () => {
        waiting.splice(waiting.indexOf(resolve), 1);
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', onAbort);
    });
  } finally {
    signal.removeEventListener('abort', onAbort!);
  }
}
