/** What the preparation of a launch is told, what it tells meanwhile, and what it comes to: little, whatever the number of nodes. */
import type { CheckpointsRemoved, NodeInfo } from './contract.js';
import type { Groups, PartlyShared } from './islands.js';
import type { Start } from './plan.js';
import type { PreparedData } from './prepare-data.js';
import type { SeriesIdentity } from './series-identity.js';
import type { RunSpec } from './spec.js';

export interface PreparationInput {
  /** Workflow id of the run, and the same made fit for paths. */
  run: string;
  name: string;
  spec: RunSpec;
  /** Of the launch: what has an older one is ended on every node before anything is looked at. */
  token: number;
  members: NodeInfo[];
  spares: NodeInfo[];
  /** Nodes of others that may hold something of the series. */
  keepers: NodeInfo[];
  /** Launched so far. */
  generation: number;
  /** Newest checkpoint that the run knows to have been complete, or 0. */
  replicated: number;
  /** Where the run ends; absent before its first launch, when that is still to be found out. */
  target?: number;
  /** What was brought to the nodes before the launch before this one. */
  data?: PreparedData;
  /** Nodes that the run file asks for, where these are fewer. */
  fewerThan?: number;
  /** Somebody is to approve, once the data is there. */
  gate: boolean;
}

/** `present`: nodes that have another address, or gave another token that opens their files. */
export type Prepared = { present: NodeInfo[] } & (
  | {
      /** This run's last iteration is trained already; all that comes before the approval is done; something was asked for. */
      outcome: 'reached' | 'gate' | 'asked';
    }
  /** The series was trained with other data, and the run file says that this is to be one of its own. */
  | { outcome: 'other data'; series: string; why: string }
  /** Fewer nodes than asked for do not have all parts of the newest checkpoint among them. */
  | { outcome: 'incomplete'; missing: string }
  | ({ outcome: 'ready' } & Readiness)
);

/** What a launch needs to know that only the nodes could tell. */
export interface Readiness {
  start: Start;
  /** All nodes see one and the same data directory. */
  shared: boolean;
  /** What only some of them share; absent from preparations that began before anybody looked. */
  partly?: PartlyShared;
  /** Nodes by the storage of their checkpoints, where some share it, or all do; absent from older preparations. */
  storages?: Groups;
  /** Free on the first member. */
  masterPort: number;
  identity: SeriesIdentity;
  data: PreparedData;
  /** What lies set aside, of each node that was asked. */
  aside: { node: string; aside: CheckpointsRemoved['aside'] }[];
}
