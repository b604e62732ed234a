/**
 * A few blocks are sent at once, and one to each asker; the others wait in line. A receiver that has a whole block passes
 * it on, and one that has a part of each of many cannot.
 */
export interface UploadSlots {
  /** Waits for its turn; returns what ends it. Rejects with the reason of the signal. */
  take(asker: string, signal: AbortSignal): Promise<() => void>;
}

export function createUploadSlots(count: number): UploadSlots {
  const sendingTo = new Set<string>();
  const line: { asker: string; begin: () => void }[] = [];
  const next = () => {
    while (sendingTo.size < count) {
      const place = line.findIndex(({ asker }) => !sendingTo.has(asker));
      if (place < 0) return;
      const [turn] = line.splice(place, 1);
      sendingTo.add(turn!.asker);
      turn!.begin();
    }
  };
  return {
    take: (asker, signal) =>
      new Promise((resolve, reject) => {
        signal.throwIfAborted();
        let ended = false;
        const end = () => {
          if (!ended) sendingTo.delete(asker);
          ended = true;
          next();
        };
        const turn = { asker, begin: () => resolve(end) };
        line.push(turn);
        signal.addEventListener(
          'abort',
          () => {
            const place = line.indexOf(turn);
            if (place >= 0) line.splice(place, 1);
            reject(signal.reason as Error);
          },
          { once: true },
        );
        next();
      }),
  };
}
