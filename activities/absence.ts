/**
 * A machine that is gone never breaks off a connection that it had: after a silence a new one is tried, which tells it
 * from a machine that is only slow.
 */
import type { Peer } from '../workflows/contract.js';
import { isReachable, PATIENCE } from './probe-peer.js';

/** A file service says more often than this that it lives. */
const SILENT_MS = 6_000;

export interface AbsenceOptions {
  /** Hears of it once. */
  onAbsent(): void;
  silentMs?: number;
  patience?: typeof PATIENCE;
}

export interface Absence {
  /** Something came. */
  touch(): void;
  stop(): void;
}

export function watchForAbsence(
  peer: Pick<Peer, 'url'>,
  { onAbsent, silentMs = SILENT_MS, patience = PATIENCE }: AbsenceOptions,
): Absence {
  const over = new AbortController();
  let isHeard = false;
  const ask = async (): Promise<void> => {
    isHeard = false;
    const isThere = await isReachable(peer, patience, over.signal);
    if (over.signal.aborted) return;
    if (isThere || isHeard) timer.refresh();
    else onAbsent();
  };
  const timer = setTimeout(() => void ask(), silentMs);
  // Whatever is waited for keeps the process; this alone must not.
  timer.unref();
  return {
    touch() {
      isHeard = true;
      if (!over.signal.aborted) timer.refresh();
    },
    stop() {
      over.abort();
      clearTimeout(timer);
    },
  };
}
