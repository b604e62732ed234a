/** Errors on their way from one process of ours to another. */
import { ApplicationFailure } from '@temporalio/common';
import { errorCode } from './atomic.js';

/** A failure that can be thrown again on the other side. */
export interface Told {
  message: string;
  /** The system's own, which says of a full disk that it is one. */
  code?: string | undefined;
  failure?: { type: string; nonRetryable: boolean; details: unknown[] };
}

export const toldOf = (error: unknown): Told => ({
  message: error instanceof Error ? error.message || error.name : String(error),
  code: errorCode(error),
  ...(error instanceof ApplicationFailure && {
    failure: {
      type: error.type ?? 'CommandFailed',
      nonRetryable: error.nonRetryable ?? false,
      details: error.details ?? [],
    },
  }),
});

export function errorOf({ message, code, failure }: Told): Error {
  if (failure) return ApplicationFailure.create({ message, ...failure });
  return Object.assign(new Error(message), code === undefined ? {} : { code });
}
