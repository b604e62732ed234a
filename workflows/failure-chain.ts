/** Errors arrive wrapped in the calls that they came through: child, activity, cause. What happened is further in. */
import { ApplicationFailure, TimeoutFailure } from '@temporalio/common';

/** The outermost ApplicationFailure of a chain of causes, or the outermost of one type. */
export function failureIn(error: unknown, type?: string): ApplicationFailure | undefined {
  for (let at = error; at instanceof Error; at = at.cause)
    if (at instanceof ApplicationFailure && (type === undefined || at.type === type)) return at;
  return undefined;
}

const nodeIn = (error: unknown, type: string): string | undefined =>
  (failureIn(error, type)?.details?.[0] as { node?: string } | undefined)?.node;

/** Name of the node that an error, or what caused it, reports as lost. */
export const lostNode = (error: unknown): string | undefined => nodeIn(error, 'NodeLost');

/** Name of the node that is not fit to train, if that is what an error says. */
export const unfitNode = (error: unknown): string | undefined => nodeIn(error, 'EnvCheckFailed');

/** Whether a copy failed since none of the nodes that were asked gave what they were said to have. */
export const nobodyGave = (error: unknown): boolean =>
  (failureIn(error)?.details?.[0] as { problems?: unknown[] } | undefined)?.problems !== undefined;

/** Names of the nodes that have something and did not answer whoever copies it, if that is what an error says. */
export const silentHolders = (error: unknown): string[] | undefined =>
  (failureIn(error, 'HoldersAway')?.details?.[0] as { unanswered?: string[] } | undefined)?.unanswered;

/** What an activity that timed out last said of itself in a heartbeat. */
export function lastHeartbeat(error: unknown): unknown {
  for (let at = error; at instanceof Error; at = at.cause)
    if (at instanceof TimeoutFailure && at.lastHeartbeatDetails !== undefined) return at.lastHeartbeatDetails;
  return undefined;
}

/** What went wrong, in the words of whoever raised it. */
export const messageOf = (error: unknown): string => failureIn(error)?.message ?? String(error);

/** Whether ranks loaded something else than was planned. */
export const startedWrong = (error: unknown): boolean =>
  (failureIn(error, 'CommandFailed')?.details?.[0] as { wrongStart?: string } | undefined)?.wrongStart !== undefined;

/** Whether the run file was refused for what the series has. */
export const cannotFollow = (error: unknown): boolean =>
  (failureIn(error, 'InvalidInput')?.details?.[0] as { runFile?: string } | undefined)?.runFile === 'does not follow';

/** Whether a rank is known to have ended, by its exit code: a torchrun that was killed itself leaves its ranks and has none. */
export const rankEnded = (error: unknown): boolean =>
  typeof (failureIn(error, 'CommandFailed')?.details?.[0] as { exitCode?: unknown } | undefined)?.exitCode === 'number';
