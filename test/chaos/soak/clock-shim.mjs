/**
 * Loaded into a worker before its own code (`node --import`): its wall clock is off by what the file CHAOS_CLOCK says,
 * in milliseconds, and steps when that changes. Namespaces have no wall clock of their own, so a host's cannot be set;
 * what is measured natively, and what files are dated by, stays as it is.
 */
import { readFileSync } from 'node:fs';
import { setInterval } from 'node:timers';

const LOOK_EVERY_MS = 200;
const path = process.env['CHAOS_CLOCK'] ?? '/dev/null';
let offset = offsetNow();

function offsetNow() {
  try {
    return Number(readFileSync(path, 'utf8')) || 0;
  } catch {
    return 0;
  }
}

const { now } = Date;
const stepped = () => now() + offset;

globalThis.Date = new Proxy(Date, {
  construct: (target, args, made) => Reflect.construct(target, args.length > 0 ? args : [stepped()], made),
  apply: (target) => new target(stepped()).toString(),
  get: (target, key) => (key === 'now' ? stepped : Reflect.get(target, key)),
});

setInterval(() => (offset = offsetNow()), LOOK_EVERY_MS).unref();
