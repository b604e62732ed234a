/**
 * A few blocks are sent at once, the others wait in line: a receiver that has a whole block passes it on, and one that
 * has a part of each of many cannot.
 */
export interface UploadSlots {
  /** Waits for its turn; returns what ends it. Rejects with the reason of the signal. */
  take(signal: AbortSignal): Promise<() => void>;
}

export function createUploadSlots(count: number): UploadSlots {
  let free = count;
  const line: (() => void)[] = [];
  const release = () => {
    const next = line.shift();
    if (next) next();
    else free++;
  };
  return {
    take: (signal) =>
      new Promise((resolve, reject) => {
        signal.throwIfAborted();
        let ended = false;
        const end = () => {
          if (!ended) release();
          ended = true;
        };
        if (free > 0) {
          free--;
          return resolve(end);
        }
        const mine = () => resolve(end);
        line.push(mine);
        signal.addEventListener(
          'abort',
          () => {
            const place = line.indexOf(mine);
            if (place >= 0) line.splice(place, 1);
            reject(signal.reason as Error);
          },
          { once: true },
        );
      }),
  };
}
