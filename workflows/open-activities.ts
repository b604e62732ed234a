/**
 * How much of a generation may be open at once. The server takes 2,000 open activities of one workflow
 * (`limit.numPendingActivities.error`), and a workflow task that schedules one more is tried again for ever. Pure.
 */

const TAKEN = 2000;
/** How many other nodes are asked about one. */
export const WITNESSES = 5;
/** Nodes that are looked at by others at a time. */
export const LOOKED_AT = 100;
/** Members that are told to stop at a time, whatever else is open. */
const STOPPED = 100;
/** One that seals or copies checkpoints, and one for each of two whose address it asks for. */
const OF_A_COPIER = 3;

interface Gang {
  /** Each is watched. */
  members: number;
  /** Nodes that seal what they save, or keep copies. */
  copiers: number;
}

const open = ({ members, copiers }: Gang): number => members + OF_A_COPIER * copiers;
const MOST = TAKEN - LOOKED_AT * WITNESSES - STOPPED;

/** Of members that are still watched. */
export const stoppedAtOnce = (gang: Gang): number => STOPPED + Math.max(0, MOST - open(gang));

/** Why so many could not be watched over; nothing where they can. */
export const tooManyOpen = (gang: Gang): string | undefined =>
  open(gang) > MOST
    ? `${gang.members} nodes, and ${OF_A_COPIER} times those that save or keep copies, ${gang.copiers}, to be ${MOST} together at most: more is not watched by one workflow`
    : undefined;
