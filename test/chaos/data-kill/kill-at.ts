/** A process that ends itself with SIGKILL at a given change of its disk, or a little later. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

type Calls = Record<string, (...args: unknown[]) => unknown>;

const CHANGES = ['appendFile', 'chmod', 'copyFile', 'link', 'mkdir', 'open', 'rename', 'rm', 'writeFile'];
const OF_A_FILE = ['appendFile', 'sync', 'truncate', 'write', 'writeFile', 'writev'];

/**
 * @param change the how many-th call that changes something does not come to be; 0 for none
 * @param lateMs what else is under way goes on for so long
 * @returns how many there were until now
 */
export async function killAt(change: number, lateMs: number): Promise<() => number> {
  let changes = 0;
  const die = () => void process.kill(process.pid, 'SIGKILL');
  const before = () => {
    if (++changes !== change) return;
    if (lateMs > 0) setTimeout(die, lateMs);
    else die();
  };
  const file = await fs.promises.open('/dev/null');
  watch(Object.getPrototypeOf(file) as Calls, OF_A_FILE, before);
  await file.close();
  watch(fs.promises as unknown as Calls, CHANGES, before);
  syncBuiltinESMExports();
  return () => changes;
}

function watch(calls: Calls, names: string[], before: () => void): void {
  for (const name of names) {
    const call = calls[name]!;
    calls[name] = function (this: unknown, ...args: unknown[]) {
      before();
      return call.apply(this, args);
    };
  }
}
