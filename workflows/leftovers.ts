/** What closed runs leave on nodes, and what a reaper is told and answers. Pure. */

/** A run that the server says is closed: by its name, which is fit for paths, and when the last one of that name closed. */
export interface ClosedRun {
  run: string;
  /** In milliseconds of the server's clock. */
  closedAt: number;
}

/** What the server knows of the runs that nodes have something of. */
export interface RunsAsked {
  closed: ClosedRun[];
  /** It knows none of that name: closed longer ago than it remembers, or another server's. */
  unknown: string[];
  /** When the first of the runs began that are open now; absent where none is. */
  openSince?: number;
}

export interface ReapInput {
  closed: ClosedRun[];
  /** What was touched after this moment stays, and all of a run that closed after it, but for processes. */
  before: number;
  openSince?: number;
  /** Touches nothing, and says what it would. */
  dryRun: boolean;
}

/** What a node had of one closed run. */
export interface RunLeft {
  run: string;
  /** That trained on though their lease was over. */
  processes: number;
  /** Directories of launches, with their logs. */
  launches: number;
  /** By which nodes found out who shares storage. */
  probes: number;
  /** That open the node's files. */
  tokens: number;
  bytes: number;
}

export interface Reaped {
  runs: RunLeft[];
  /** Unfinished, and last written before any open run began. */
  downloads: { files: number; bytes: number };
  /** What could not be removed or ended, and why. */
  failed: string[];
}
