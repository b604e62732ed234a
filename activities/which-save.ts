/**
 * Which save a node sees to next. All of them as they come, where it keeps up. Nodes that are behind would each take the
 * newest one when they are done with another, and of none would there be all parts: so who needs the time of several
 * saves for one takes every second, fourth, eighth … of them, by its number. What a slower node takes is then among
 * what each faster one takes, and nobody need agree on anything. Pure.
 */

/** Of `passed` saves that came while one was seen to: the least power of two that leaves time enough. */
export const strideOf = (passed: number): number =>
  passed < 1 ? 1 : 2 ** Math.ceil(Math.log2(Math.floor(passed) + 1));

/**
 * Of the saves newer than `after` up to the one that the tracker names.
 *
 * @param every a multiple of this is kept for ever, and none is left out
 * @param step of the others only multiples of this are wanted; any where it is absent
 */
export function nextSave(after: number, tracked: number, every = Infinity, step?: number): number | undefined {
  const newest = step === undefined ? tracked : Math.floor(tracked / step) * step;
  const kept = (Math.floor(after / every) + 1) * every;
  const next = Math.min(newest > after ? newest : Infinity, kept <= tracked ? kept : Infinity);
  return next === Infinity ? undefined : next;
}

export interface SaveRule {
  /** Iterations from one save to the next; where nobody says, every node takes the newest. */
  interval: number | undefined;
  every: number | undefined;
}

export function createWhichSave({ interval = Infinity, every }: SaveRule) {
  let stride = 1;
  /** Of the one before: a single one that took long says nothing of the next. */
  let before = 1;
  /** What the tracker named when there was something to see to, and when that was done. */
  let since: number | undefined;
  let done: number | undefined;
  let waits = false;
  const passed = (from: number | undefined, tracked: number) => (tracked - (from ?? tracked)) / interval;
  return {
    /** @param isLast no newer one comes: then the newest counts, whatever its number */
    next(seen: number, tracked: number, isLast: boolean): number | undefined {
      if (done !== undefined) {
        const measured = strideOf(passed(done, tracked));
        [stride, before] = [Math.min(measured, before), measured];
      }
      done = undefined;
      const wide = Math.max(stride, waits ? strideOf(passed(since, tracked)) : 1);
      waits = false;
      const next = nextSave(seen, tracked, every, isLast || wide === 1 ? undefined : wide * interval);
      since = next === undefined ? undefined : (since ?? tracked);
      return next;
    },
    /** It is whole here. */
    isDone(): void {
      [done, since] = [since, undefined];
    },
    /** Its writer is not ready: it may be one that takes fewer. */
    isWaiting(): void {
      waits = true;
    },
    /** Time that goes by with trouble is not what a save takes. */
    hasFailed(): void {
      since = undefined;
    },
  };
}
