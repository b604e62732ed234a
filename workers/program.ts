/** How a program of package.json ends: with a line for a mistake, quietly where nobody reads on, and never with a stack. */
import { errorCode } from '../activities/atomic.js';

export interface ProgramOptions {
  /** Begins the line that says what went wrong. */
  prefix?: string;
  /** What was wrong in how it was called, rather than in what it did: exit code 2 instead of 1. */
  isMisuse?: (error: unknown) => boolean;
  /** Whoever reads may have seen enough, as `head` has. */
  onClosed?: (error: unknown) => void;
}

/** @param main gives the exit code, or throws what its user is told */
export function program(main: () => Promise<number | void>, options: ProgramOptions = {}): void {
  const { prefix = '', isMisuse = () => false, onClosed = leave } = options;
  let isClosed = false;
  const closed = (error: unknown): void => {
    if (isClosed) return;
    isClosed = true;
    onClosed(error);
  };
  process.stdout.on('error', closed);
  process.stderr.on('error', closed);
  main().then(
    (code) => void (process.exitCode ??= code ?? 0),
    (error: unknown) => {
      process.stderr.write(`${prefix}${reasonsOf(error)}\n`);
      // Of what was begun, something may still be open.
      process.exit(isMisuse(error) || isBadOption(error) ? 2 : 1);
    },
  );
}

const leave = (error: unknown): never => process.exit(errorCode(error) === 'EPIPE' ? 0 : 1);

const isBadOption = (error: unknown): boolean => errorCode(error)?.startsWith('ERR_PARSE_ARGS_') ?? false;

/** Errors of libraries say less than what lies below them. */
function reasonsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, cause } = error;
  if (!(cause instanceof Error) || message.includes(cause.message)) return message || error.name;
  return `${message}: ${reasonsOf(cause)}`;
}
