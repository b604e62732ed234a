/** The nodes that a run holds: asked of the pool, replaced one by one, given back however the run ends. */
import { ApplicationFailure, getExternalWorkflowHandle, isCancellation, log } from '@temporalio/workflow';
import type { NodeInfo } from './contract.js';
import { gangSize } from './fewer-nodes.js';
import {
  cordonNode,
  release,
  reportFault,
  reportLost,
  soaked,
  type AcquireNodes,
  type NodesGranted,
  type NodeWanted,
} from './messages.js';
import { createPoolRequests, type OpenRequests, type Waiting } from './pool-requests.js';
import { fitOf } from './spec-rules.js';
import type { RunSpec } from './spec.js';
import type { Move } from './wishes.js';

/** A run that tries a node out ends with its first failure. */
export const soakFailed = (node: string, why: string): ApplicationFailure =>
  ApplicationFailure.nonRetryable(
    `${node} has not passed: ${why}. Its quarantine is as it was, or longer`,
    'NoProgress',
  );

export interface Crew {
  /** Node of each node rank, in order. */
  members: NodeInfo[];
  spares: NodeInfo[];
  /** Nodes of others that served the series before. */
  keepers: NodeInfo[];
  /** Waits for the first full set: members and spares, all or none. */
  lease(): Promise<void>;
  /** Asks for spares, one by one, and does not wait: they join at the next launch, or when they are welcomed. */
  seek(count: number): void;
  /** Spares that came since the last launch. */
  newcomers: NodeInfo[];
  /** Makes spares of those that came, and says which. */
  welcome(): NodeInfo[];
  /** How many spares are asked for and have not come. */
  readonly sought: number;
  /** Puts a spare, or a node from the pool, in the place of members that are to leave, which are well and keep what they have; spares just leave. */
  move(leaving: Move[]): Promise<void>;
  /** Tells the pool to give this node to nobody. */
  cordon(wanted: NodeWanted): void;
  /** Gives spares back, down to this many. */
  shrink(spares: number): Promise<void>;
  /**
   * Puts a spare, or a node from the pool, in the place of each of these, and tells the pool why. Drops lost spares.
   * A node whose hardware failed is not to come back at once. Where the run file lets it, fewer members are left when
   * no node comes soon; what they lack stays asked for.
   */
  replace(lost: string[], reason: string, hardware?: boolean): Promise<void>;
  /** How many nodes members and spares lack, beside those that are asked for. */
  readonly lacking: number;
  /** Whether more members could train, with these of the spares. */
  canGrow(spares: number): boolean;
  /** Makes members of spares, as many as the layout takes. */
  grow(): boolean;
  /** Waits for the next node that comes, and makes as many members as the layout takes then. */
  oneMore(): Promise<void>;
  /** The ranks of so many members do not come to train: waits until there are more. */
  notSoFew(): Promise<void>;
  /** What of the series these nodes have was looked at, and is something. */
  haveParts(names: string[]): void;
  /** A fresh token for a launch of members and spares, those that came meanwhile among them. */
  newToken(): Promise<number>;
  /** Takes the present addresses of some of its nodes. */
  refresh(present: NodeInfo[]): void;
  /** What goes on where this run continues as new. */
  keep(): CrewKept;
  /** Tells the pool that the one member was tried out for so many iterations, and has not failed. */
  passed(iterations: number): Promise<void>;
  /** Gives everything back. */
  release(): Promise<void>;
}

/** The run whose crew it is. */
export interface CrewsRun {
  /** Hears of each spare that was asked for and came. */
  arrived(this: void, node: string): void;
  hasLaunched(this: void): boolean;
}

/** Of a run that continues as new. */
export interface CrewKept {
  members: NodeInfo[];
  spares: NodeInfo[];
  keepers: NodeInfo[];
  newcomers: NodeInfo[];
  open: OpenRequests;
  tooFew?: number;
  /** Nodes that have nothing of the series, as far as the pool knows. */
  fresh?: string[];
}

/**
 * @param spec read each time anew: a paused run may go on with another
 * @param kept of the execution that this one continues
 */
export function createCrew(spec: RunSpec, waiting: Waiting, { arrived, hasLaunched }: CrewsRun, kept?: CrewKept): Crew {
  const pool = createPoolRequests(spec, waiting, kept?.open);
  const { holder } = pool;
  /** As far as the pool knows they have nothing of the series, before this run launches anything. */
  const fresh = new Set(kept?.fresh);
  const hasNothing = (name: string) => fresh.has(name) && !hasLaunched();
  const unused = () => {
    const names = [...fresh].filter(hasNothing);
    return names.length > 0 && { unused: names };
  };

  function taken({ nodes, keepers, fresh: more = [] }: NodesGranted): NodeInfo[] {
    for (const name of more) fresh.add(name);
    crew.keepers = keepers;
    return nodes;
  }

  /** Not waited for. */
  function seekOne(again?: AcquireNodes): void {
    const came = (grant: NodesGranted | undefined): void => {
      if (!grant) return;
      const [node] = taken(grant);
      crew.newcomers.push(node!);
      arrived(node!.name);
    };
    pool
      .seek(again)
      .then(came)
      .catch((error: unknown) => {
        if (!isCancellation(error)) log.warn('a spare was asked for in vain', { error: String(error) });
      });
  }

  /** A spare, else the one that is asked for already, else a new one. */
  async function standIn(): Promise<NodeInfo> {
    const { soak } = spec.cluster;
    if (soak !== undefined) throw soakFailed(soak, 'no other node is to take its place');
    if (crew.spares.length === 0 && crew.newcomers.length === 0) {
      if (pool.sought === 0) return taken(await pool.ask(1))[0]!;
      await pool.urge(() => crew.newcomers[0]);
    }
    crew.welcome();
    return crew.spares.shift()!;
  }

  /** Numbers of members up to this one did not come to train. */
  let tooFew = kept?.tooFew;
  const sizeOf = (there: number): number | undefined =>
    gangSize(fitOf(spec), spec.recovery.fewerNodes, { there, ...(tooFew !== undefined && { tooFew }) });

  /** As many members as the layout takes of the nodes that are there, in their order; the others stand by. */
  function regroup(): boolean {
    const there = [...crew.members, ...crew.spares];
    const size = sizeOf(there.length);
    if (size === undefined) return false;
    [crew.members, crew.spares] = [there.slice(0, size), there.slice(size)];
    return true;
  }

  async function newcomer(): Promise<void> {
    crew.seek(Math.max(crew.lacking, pool.sought === 0 ? 1 : 0));
    if (crew.newcomers.length === 0) await pool.urge(() => crew.newcomers[0]);
    crew.welcome();
  }

  async function untilValid(): Promise<void> {
    while (!regroup()) await newcomer();
  }

  /** Those that are left, and what comes soon; where that is too little for any layout, the next ones too. */
  async function closeRanks(left: NodeInfo[], after: string): Promise<void> {
    crew.members = left;
    crew.seek(crew.lacking);
    const isWhole = () => left.length + crew.spares.length + crew.newcomers.length >= spec.cluster.nodes;
    if (!isWhole()) await pool.hurry(isWhole, after);
    crew.welcome();
    await untilValid();
  }

  /** Gives nodes back and fills the places of members. What they have of the series may still be asked for. */
  async function giveUp(names: string[], mayShrink = false): Promise<void> {
    const leaves = ({ name }: NodeInfo) => names.includes(name);
    const gone = [...crew.members, ...crew.spares].filter(leaves);
    crew.spares = crew.spares.filter((spare) => !leaves(spare));
    await pool.tell((to) => to.signal(release, { holder, nodes: names, ...unused() }));
    const { fewerNodes } = spec.recovery;
    const left = crew.members.filter((member) => !leaves(member));
    const isShort = left.length + crew.spares.length < crew.members.length;
    if (mayShrink && isShort && typeof fewerNodes === 'object') await closeRanks(left, fewerNodes.after);
    else for (const [rank, member] of crew.members.entries()) if (leaves(member)) crew.members[rank] = await standIn();
    crew.keepers.push(...gone.filter(({ name }) => !hasNothing(name)));
  }

  const crew: Crew = {
    members: kept?.members ?? [],
    spares: kept?.spares ?? [],
    keepers: kept?.keepers ?? [],
    newcomers: kept?.newcomers ?? [],
    get sought() {
      return pool.sought;
    },
    get lacking() {
      const { nodes, spares } = spec.cluster;
      const have = crew.members.length + crew.spares.length + crew.newcomers.length + pool.sought;
      return nodes + spares - have;
    },

    async lease() {
      const { nodes, spares } = spec.cluster;
      const all = taken(await pool.ask(nodes + spares));
      crew.members = all.slice(0, nodes);
      crew.spares = all.slice(nodes);
    },

    seek(count) {
      for (let more = count; more > 0; more--) seekOne();
    },

    welcome() {
      const came = crew.newcomers.splice(0);
      crew.spares.push(...came);
      return came;
    },

    async move(moves) {
      crew.welcome();
      const leaving = moves.map(({ node }) => node);
      // A cordoned node is for all runs alike to do without, until it no longer is.
      for (const { node, cordon } of moves) if (!cordon) await pool.doWithout(node);
      await giveUp(leaving);
    },

    cordon(wanted) {
      pool
        .tell(
          (to) => to.signal(cordonNode, wanted),
          () => undefined,
        )
        .catch(() => undefined);
    },

    async shrink(spares) {
      crew.welcome();
      // What the gang itself lacks is not given back.
      const surplus = crew.spares.splice(spares + spec.cluster.nodes - crew.members.length).map(({ name }) => name);
      if (surplus.length) await pool.tell((to) => to.signal(release, { holder, nodes: surplus, ...unused() }));
    },

    async replace(lost, reason, hardware = false) {
      crew.welcome();
      const at = Date.now();
      const fault = `${reason} (run ${holder.workflowId})`;
      for (const node of lost)
        await pool.tell((to) =>
          hardware ? to.signal(reportFault, { node, reason: fault, at }) : to.signal(reportLost, { node, reason }),
        );
      await giveUp(lost, true);
    },

    canGrow: (spares) => (sizeOf(crew.members.length + spares) ?? 0) > crew.members.length,

    grow() {
      crew.welcome();
      return crew.canGrow(crew.spares.length) && regroup();
    },

    async oneMore() {
      await newcomer();
      await untilValid();
    },

    notSoFew() {
      tooFew = crew.members.length;
      return untilValid();
    },

    haveParts(names) {
      for (const name of names) fresh.delete(name);
    },

    newToken() {
      crew.welcome();
      return pool.newToken();
    },

    refresh(present) {
      const now = (node: NodeInfo) => present.find(({ name }) => name === node.name) ?? node;
      [crew.members, crew.spares] = [crew.members.map(now), crew.spares.map(now)];
    },

    keep: () => ({
      ...{ members: crew.members, spares: crew.spares, keepers: crew.keepers, newcomers: crew.newcomers },
      open: pool.open(),
      ...(tooFew !== undefined && { tooFew }),
      ...(fresh.size > 0 && { fresh: [...fresh] }),
    }),

    async passed(iterations) {
      const [{ name: node }] = crew.members as [NodeInfo];
      await pool.tell((to) => to.signal(soaked, { node, holder, iterations }));
    },

    async release() {
      pool.forget();
      [crew.members, crew.spares, crew.newcomers] = [[], [], []];
      try {
        const given = { holder, ...unused() };
        await getExternalWorkflowHandle(`pool-${spec.cluster.pool}`).signal(release, given);
      } catch (error) {
        // The pool asks after its holders by itself, so a missed release only costs time.
        log.warn('the pool did not take the nodes back', { error: String(error) });
      }
    },
  };
  for (const request of kept?.open.seeking ?? []) seekOne(request);
  return crew;
}
