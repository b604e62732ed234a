/** Ending what belongs to launches: the one routine of a stop, of a newer launch and of the lease's guard. */
import { findMarked, pause, signal, type TokenProcess } from './process.js';

/** Without any rank left, how long torchrun may take to follow: its exit barrier would take minutes. */
const AFTER_RANKS_MS = 1_000;
/** How long a guard may take to write down how its command ended, once everything else is gone. */
const GUARD_WRITES_WITHIN_MS = 2_000;
/** What SIGKILL does not end in this time hangs in the kernel. */
const KILL_FOR_MS = 12_000;
const LOOK_EVERY_MS = 50;

/**
 * Ends every process whose token fits: SIGTERM to the ranks, which may save; after the grace SIGKILL to all, until
 * nothing is found any more. Never the process that asks.
 * @returns whether nothing is left
 */
export async function endLaunched(
  dataDir: string,
  fits: (token: number) => boolean,
  graceMs: number,
): Promise<boolean> {
  const look = async () => (await findMarked(dataDir)).filter(({ token }) => fits(token));
  await askRanks(look, graceMs);
  return killAll(look);
}

type Look = () => Promise<TokenProcess[]>;

/** Ranks and not torchrun, since torchrun kills its ranks after a grace of its own. */
async function askRanks(look: Look, graceMs: number): Promise<void> {
  const asked = new Set<string>();
  const end = performance.now() + graceMs;
  let withoutRanks = Infinity;
  while (performance.now() < Math.min(end, withoutRanks)) {
    const found = (await look()).filter(({ guard }) => !guard);
    if (found.length === 0) return;
    const ranks = rootRanks(found);
    for (const rank of ranks) {
      const key = `${rank.pid} ${rank.startTime}`;
      if (!asked.has(key)) await signal(rank, 'SIGTERM');
      asked.add(key);
    }
    withoutRanks = ranks.length > 0 ? Infinity : Math.min(withoutRanks, performance.now() + AFTER_RANKS_MS);
    await pause(LOOK_EVERY_MS);
  }
}

/** The ranks themselves: a data loader that one has started would take the signal for its own end. */
export function rootRanks(found: TokenProcess[]): TokenProcess[] {
  const ranks = found.filter(({ rank }) => rank);
  const pids = new Set(ranks.map(({ pid }) => pid));
  return ranks.filter(({ parent }) => !pids.has(parent));
}

async function killAll(look: Look): Promise<boolean> {
  const end = performance.now() + KILL_FOR_MS;
  let killGuards = Infinity;
  let empty = 0;
  while (performance.now() < end) {
    const found = await look();
    const others = found.filter(({ guard }) => !guard);
    empty = found.length === 0 ? empty + 1 : 0;
    // Twice: one look can miss a child whose parent ends while the list is read.
    if (empty === 2) return true;
    if (others.length === 0) killGuards = Math.min(killGuards, performance.now() + GUARD_WRITES_WITHIN_MS);
    const doomed = performance.now() >= killGuards ? found : others;
    await Promise.all(doomed.map((process) => signal(process, 'SIGKILL')));
    await pause(LOOK_EVERY_MS);
  }
  return false;
}
