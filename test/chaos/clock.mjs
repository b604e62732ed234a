/**
 * Loaded into a simulated host's workers before anything else: their wall clock is off by as many milliseconds as a file
 * says, from the moment that it says so. Hosts that are namespaces have one clock, and share it with this machine.
 */
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import process from 'node:process';

const LOOK_EVERY_MS = 20;
const Real = Date;

/** @param {string} file */
function clockBy(file) {
  let [off, lookedAt] = [0, -Infinity];
  return () => {
    if (performance.now() - lookedAt > LOOK_EVERY_MS) {
      lookedAt = performance.now();
      try {
        off = Number(readFileSync(file, 'utf8'));
      } catch {
        off = 0;
      }
    }
    return Real.now() + off;
  };
}

const file = process.env.PRETRAIN_CHAOS_CLOCK;
if (file) {
  const now = clockBy(file);
  globalThis.Date = new Proxy(Real, {
    construct: (target, given, as) => Reflect.construct(target, given.length > 0 ? given : [now()], as),
    apply: () => new Real(now()).toString(),
    get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
  });
}
