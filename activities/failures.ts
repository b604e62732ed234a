/** The closed set of failure types that workflows decide on and people see, and how an activity raises one. */
import { ApplicationFailure } from '@temporalio/common';

export type FailureType =
  | 'InvalidInput'
  | 'EnvCheckFailed'
  | 'CommandFailed'
  | 'ProcessLost'
  | 'NodeLost'
  | 'TrainingHung'
  | 'DataCorrupt'
  | 'NoCheckpoint'
  | 'OutOfNodes'
  | 'NoProgress'
  /** None of the nodes that have something answered whoever copies it. Workflows ask them, and make another of it. */
  | 'HoldersAway';

export interface FailureOptions {
  details?: unknown;
  /** Set where the same attempt again cannot end otherwise: wrong input, corrupt data, a missing driver. */
  nonRetryable?: boolean;
  cause?: unknown;
  /** Milliseconds to the next attempt, once, instead of the policy's back-off. */
  retryIn?: number;
}

/** `message` is one line: node, step, path or exit code, and what to do next. */
export function failure(type: FailureType, message: string, options: FailureOptions = {}): ApplicationFailure {
  const { details, nonRetryable = false, cause, retryIn } = options;
  return ApplicationFailure.create({
    type,
    message,
    nonRetryable,
    ...(details === undefined ? {} : { details: [details] }),
    ...(cause instanceof Error ? { cause } : {}),
    ...(retryIn === undefined ? {} : { nextRetryDelay: retryIn }),
  });
}

/** One line of whatever was thrown, for use inside a message. */
export const reasonOf = (error: unknown): string => {
  const text = error instanceof Error ? error.message || error.name : String(error);
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  return (text + cause).split('\n', 1)[0]!.slice(0, 500);
};
