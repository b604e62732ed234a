/** What so many seconds of training did: iterations, saves that ended, and those that are copied too. Pure. */
export interface SaveTiming {
  /** Iteration that training began from, and iterations between saves. */
  from: number;
  every: number;
  /** Seconds of an iteration, of a save, and from a save's end until it is copied. */
  step: number;
  save: number;
  copy: number;
}

export interface Progress {
  iteration: number;
  replicated: number;
  /** Seconds in iterations, and in saves. */
  trained: number;
  saving: number;
  isSaving: boolean;
  /** Saves that ended, the last ones of them, and when. */
  saves: { iteration: number; at: number }[];
}

/** How many of the last saves are told of: more than nodes keep. */
const TOLD = 4;

export function progressAfter(seconds: number, { from, every, step, save, copy }: SaveTiming): Progress {
  const stretch = every * step;
  const cycle = stretch + save;
  const done = Math.floor(seconds / cycle);
  const copied = Math.max(0, Math.floor((seconds - copy) / cycle));
  const since = seconds - done * cycle;
  const told = Math.min(done, TOLD);
  return {
    iteration: from + done * every + Math.min(every, Math.floor(since / step)),
    replicated: from + copied * every,
    trained: done * stretch + Math.min(since, stretch),
    saving: done * save + Math.max(0, since - stretch),
    isSaving: since >= stretch,
    saves: Array.from({ length: told }, (_, index) => done - told + index + 1).map((count) => ({
      iteration: from + count * every,
      at: count * cycle,
    })),
  };
}
