/**
 * A signal that aborts after a time, or with another one. `AbortSignal.any()` of an `AbortSignal.timeout()` must not
 * be used: Node 20 forgets it at the next garbage collection (nodejs/node#57736), and it never aborts.
 */
export interface TimeLimit {
  signal: AbortSignal;
  /** The time begins again. */
  touch(): void;
  /** No time ends it any more, nor does the other signal. */
  lift(): void;
}

/** @param outer aborts it as well, with its own reason; without it the reason is a `TimeoutError` */
export function timeLimit(ms: number, outer?: AbortSignal): TimeLimit {
  const controller = new AbortController();
  let isOver = false;
  const lift = (): void => {
    isOver = true;
    clearTimeout(timer);
    outer?.removeEventListener('abort', follow);
  };
  const end = (reason: unknown): void => {
    lift();
    controller.abort(reason);
  };
  const follow = (): void => end(outer?.reason);
  const timer = setTimeout(() => end(new DOMException(`${ms} ms are over`, 'TimeoutError')), ms);
  // Whatever is waited for keeps the process; this alone must not.
  timer.unref();
  if (outer?.aborted) follow();
  else outer?.addEventListener('abort', follow);
  return { signal: controller.signal, touch: () => void (isOver || timer.refresh()), lift };
}
