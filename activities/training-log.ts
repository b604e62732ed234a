/**
 * The one reader of what MindSpeed-LLM prints. Pure: text in, facts out. Formats: `training_log` and
 * `save_checkpoint` of MindSpeed-LLM 2.1 to 26.1, torchrun's summary, and the texts in `test/fixtures/golden/logs`.
 */
import type { TrainingVerdict } from '../workflows/contract.js';

export interface Iteration {
  iteration: number;
  total: number;
  /** Left out by the trainer where it is NaN or 0. */
  loss?: number;
  gradNorm?: number;
  learningRate?: number;
  milliseconds?: number;
}

export interface LogFacts {
  iterations: Iteration[];
  /** Iterations whose save is reported complete, by rank 0 only. */
  saved: number[];
  loaded?: number;
  /** Timer lines of a save: printed by the last rank, which does not say of which iteration. */
  saves: number;
  done: boolean;
  exit?: 'interval' | 'signal' | 'duration';
  /** The line that says what went wrong first, the symptoms of other ranks' ends aside. */
  firstError?: string;
  /** torchrun says that a rank has failed; it may wait minutes before it exits itself. */
  failedRank?: { rank: number; exitCode: number };
}

const ITERATION = /iteration\s+(\d+)\/\s*(\d+) \|(.*)/;
const SAVED = /successfully saved checkpoint from iteration\s+(\d+) to/;
const LOADED = /successfully loaded checkpoint from .* at iteration (\d+)/;
const FAILED = /failed \(exitcode: (-?\d+)\) local_rank: (\d+)/;
const MAX_LINE = 4000;

/** Texts of the first kind outrank those of the second: the former are causes, the latter what ranks say when another is gone. */
const CAUSE =
  /^\s*(?:\[rank\d+\]:\s*)?((?:[A-Za-z_][\w.]*(?:Error|Exception|Interrupt)|AssertionError)(?::.*)?$|.*error: (?:unrecognized arguments|argument |the following arguments).*|could not load the checkpoint.*|.*(?:out of memory|MULTI BIT ECC|UCE ERROR|Device lost heart|Address already in use).*|.*No space left on device.*|terminate called.*|Segmentation fault.*)/;
const SYMPTOM =
  /Connection (?:reset|closed|refused)|Timed out|Broken pipe|EI0002|EI9999|gloo|DistBackendError|ChildFailedError|SignalException|RendezvousConnectionError|RendezvousTimeoutError|Watchdog/i;

export const newFacts = (): LogFacts => ({ iterations: [], saved: [], saves: 0, done: false });

/** Takes in one line; `facts` is changed. Lines of two ranks that ran into one are taken apart. */
export function readLine(facts: LogFacts, text: string): void {
  const line = text.slice(0, MAX_LINE);
  const glued = line.indexOf('] iteration ', line.indexOf('] iteration ') + 1);
  if (glued > 0) {
    const cut = line.lastIndexOf(' [', glued);
    readLine(facts, line.slice(0, cut));
    return readLine(facts, line.slice(cut));
  }
  const iteration = ITERATION.exec(line);
  if (iteration) return void facts.iterations.push(readIteration(iteration));
  const saved = SAVED.exec(line);
  if (saved) facts.saved.push(Number(saved[1]));
  const loaded = LOADED.exec(line);
  if (loaded) facts.loaded = Number(loaded[1]);
  if (/^\s*save-checkpoint \.+:/.test(line)) facts.saves++;
  if (line.includes('[after training is done]')) facts.done = true;
  if (/\[exiting program at iteration \d+\]/.test(line)) facts.exit = 'interval';
  if (line.includes('[exiting program after receiving SIGTERM')) facts.exit = 'signal';
  if (/\[exiting program after [\d.]+ minutes\]/.test(line)) facts.exit = 'duration';
  const failed = FAILED.exec(line);
  if (failed) facts.failedRank ??= { rank: Number(failed[2]), exitCode: Number(failed[1]) };
  readError(facts, line);
}

function readIteration([, iteration, total, rest]: RegExpExecArray): Iteration {
  const fields = new Map(
    rest!.split('|').map((field) => {
      const at = field.indexOf(':');
      return [field.slice(0, at).trim(), Number(field.slice(at + 1))] as const;
    }),
  );
  const optional = (name: string, key: keyof Iteration) => {
    const value = fields.get(name);
    return value === undefined || Number.isNaN(value) ? {} : { [key]: value };
  };
  return {
    iteration: Number(iteration),
    total: Number(total),
    ...optional('lm loss', 'loss'),
    ...optional('grad norm', 'gradNorm'),
    ...optional('learning rate', 'learningRate'),
    ...optional('elapsed time per iteration (ms)', 'milliseconds'),
  };
}

function readError(facts: LogFacts, line: string): void {
  const cause = CAUSE.exec(line)?.[1]?.trim();
  if (cause === undefined) return;
  if (facts.firstError === undefined || (SYMPTOM.test(facts.firstError) && !SYMPTOM.test(cause)))
    facts.firstError = cause.slice(0, 500);
}

/** What a log means whose command ended with exit code 0. */
export function verdictOf(facts: LogFacts): TrainingVerdict {
  const last = facts.iterations.at(-1);
  const lastSaved = facts.saved.at(-1);
  const outcome = facts.exit === 'signal' ? 'saved' : facts.exit ? 'exited' : facts.done ? 'finished' : 'unclear';
  return {
    outcome,
    ...(last && { lastIteration: last.iteration }),
    ...(last?.loss !== undefined && { loss: last.loss }),
    ...(lastSaved !== undefined && { lastSaved }),
  };
}

/** Reads a whole log. */
export function readLog(text: string): LogFacts {
  const facts = newFacts();
  for (const line of text.split('\n')) readLine(facts, line);
  return facts;
}
