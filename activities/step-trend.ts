/** Whether steps take longer than they did: a node that is slow is reported, and nobody ends training for it. Pure. */
import type { Slowdown } from '../workflows/messages.js';
import { median } from './hang-detector.js';

/** The first steps compile and warm caches. */
const WARM_UP = 5;
const WINDOW = 40;
/** A third longer is slow, and what is only an eighth longer no more. */
const SLOW = 4 / 3;
const FINE = 9 / 8;

export function createStepTrend() {
  const first: number[] = [];
  const recent: number[] = [];
  let warm = 0;
  let slow: Slowdown | undefined;
  return {
    add(iteration: number, ms: number): void {
      if (warm++ < WARM_UP) return;
      if (first.length < WINDOW) {
        first.push(ms);
        return;
      }
      recent.push(ms);
      if (recent.length > WINDOW) recent.shift();
      if (recent.length < WINDOW) return;
      const [was, is] = [median(first), median(recent)];
      if (is >= was * SLOW) slow = { since: slow?.since ?? iteration, was: was / 1000, is: is / 1000 };
      else if (is <= was * FINE) slow = undefined;
    },
    slow: (): Slowdown | undefined => slow,
  };
}
