/** The nodes of one simulated run, asked of the pipeline's own pool, and the machines behind them, which break and come back. */
import type { Holder } from '../../../workflows/contract.js';
import type { AcquireNodes } from '../../../workflows/messages.js';
import { endRests, liftQuarantine, noteFault } from '../../../workflows/quarantine.js';
import {
  candidates,
  enqueue,
  giveBack,
  grant,
  isFree,
  nextRequest,
  type PoolNode,
  type PoolState,
} from '../../../workflows/roster.js';

/** A node that left a run though its machine is on answers the pool's next question. */
const ANSWERS_AFTER = 60;
const SERIES = 's';

interface Machine {
  /** Switched off until then; everything here is in seconds. */
  off?: number;
  /** A device that checks find, or links that nobody can build, until then. */
  sick?: { what: 'device' | 'link'; until: number };
  /** Its data is there from then on. */
  readyAt: number;
}

export interface CrewSize {
  nodes: number;
  spares: number;
  /** More nodes of the pool, which nobody holds at first. */
  extra: number;
  devices: number;
}

export type Crew = ReturnType<typeof createCrew>;

/** @param bring seconds until a node that comes fresh from the pool has the data */
export function createCrew({ nodes, spares: wanted, extra, devices }: CrewSize, bring: number) {
  const names = Array.from({ length: nodes + wanted + extra }, (_, index) => `n${String(index).padStart(5, '0')}`);
  const pool: PoolState = {
    nodes: names.map((name) => ({ name, address: name, port: 1, devices, profile: 'npu' as const })),
    waiting: [],
    token: 0,
  };
  const entry = new Map(pool.nodes.map((node) => [node.name, node]));
  const machines = new Map<string, Machine>(names.map((name) => [name, { readyAt: 0 }]));
  const returns: { at: number; node: string }[] = [];
  const lifts: { at: number; node: string }[] = [];
  const arrivals: { at: number }[] = [];
  const hasServed = new Set<string>();
  let runs = 0;
  let requests = 0;
  let holder: Holder = { workflowId: 'run', firstRunId: '0' };
  let target = wanted;

  const node = (name: string): PoolNode => entry.get(name)!;
  const machine = (name: string): Machine => machines.get(name)!;
  const request = (count: number, spare: boolean): AcquireNodes => ({
    ...{ requestId: String(++requests), holder, series: SERIES, nodes: count, devices },
    ...(spare && { spare }),
  });
  const ask = (one: AcquireNodes, now: number) => enqueue(pool, one, now * 1000);
  const gaps = () => crew.members.filter((name) => name === undefined).length;

  /** Serves the pool's line; what comes fills a gap first. */
  function settle(now: number): void {
    for (let next; (next = nextRequest(pool, now * 1000));) {
      const chosen = candidates(pool, next);
      if (!chosen) return;
      for (const { name } of grant(pool, next, chosen).nodes) {
        machine(name).readyAt = now === 0 || hasServed.has(name) ? now : now + bring;
        arrivals.push({ at: machine(name).readyAt });
        hasServed.add(name);
        const gap = crew.members.indexOf(undefined);
        if (gap >= 0) crew.members[gap] = name;
        else crew.spares.push(name);
      }
    }
  }

  /** Gaps are filled from the spares; for what is left the pool is asked, urgently where a gap remains. */
  function fill(now: number): void {
    for (const [rank, name] of crew.members.entries())
      if (name === undefined && crew.spares.length > 0) crew.members[rank] = crew.spares.shift();
    for (const open of pool.waiting.slice(0, gaps())) ask({ ...open, spare: false }, now);
    while (pool.waiting.length < gaps()) ask(request(1, false), now);
    while (pool.waiting.length - gaps() + crew.spares.length < target) ask(request(1, true), now);
    settle(now);
  }

  const crew = {
    pool,
    members: [] as (string | undefined)[],
    spares: [] as string[],
    isHeld: () => crew.members.length > 0,
    isFull: () => crew.members.length === nodes && gaps() === 0,
    isOff: (name: string) => machine(name).off !== undefined,
    sick: (name: string) => machine(name).sick?.what,
    readyAt: () => Math.max(...crew.members.map((name) => machine(name!).readyAt)),

    /** All or none, as a run begins; with as many of the spares as are to be had, which whoever starts it sees to. */
    lease(now: number): boolean {
      const free = pool.nodes.filter(isFree).length;
      if (free < nodes) return false;
      holder = { workflowId: 'run', firstRunId: String(++runs) };
      target = wanted;
      crew.members = Array.from({ length: nodes }, () => undefined);
      ask(request(nodes + Math.min(wanted, free - nodes), false), now);
      settle(now);
      fill(now);
      return true;
    },

    /** The run has ended; whoever looks after it leaves out nodes that are broken. */
    release(): void {
      for (const name of [...crew.members, ...crew.spares]) {
        const why = name === undefined ? undefined : crew.isOff(name) ? 'off' : crew.sick(name);
        if (name !== undefined && why) node(name).away = why;
      }
      giveBack(pool, holder);
      [crew.members, crew.spares] = [[], []];
    },

    switchOff(name: string, until: number): void {
      machine(name).off = until;
      returns.push({ at: until, node: name });
    },
    makeSick(name: string, what: 'device' | 'link', until: number): void {
      machine(name).sick = { what, until };
      returns.push({ at: until, node: name });
    },

    /** As a run does: tells the pool why, gives them back, and takes others. */
    replace(gone: string[], now: number, { hardware = false, seenTo }: { hardware?: boolean; seenTo: number }): void {
      for (const name of gone) {
        const { off, sick } = machine(name);
        if (hardware) {
          noteFault(pool, { node: name, reason: 'hardware', at: now * 1000 });
          if (node(name).quarantined?.until === undefined) lifts.push({ at: seenTo, node: name });
        } else {
          node(name).away = 'did not answer';
          const back = off ?? (sick?.what === 'device' ? sick.until : now + ANSWERS_AFTER);
          returns.push({ at: back, node: name });
        }
        crew.spares = crew.spares.filter((spare) => spare !== name);
        crew.members = crew.members.map((member) => (member === name ? undefined : member));
      }
      giveBack(pool, holder, gone);
      fill(now);
    },

    /** When something is to happen by itself. */
    nextAt(now: number): number {
      const rests = pool.nodes.flatMap(({ quarantined }) => quarantined?.until ?? []).map((at) => at / 1000);
      return Math.min(
        ...[...returns, ...lifts, ...arrivals].map(({ at }) => at),
        ...rests.filter((at) => at > now),
        Infinity,
      );
    },
    handle(now: number): void {
      for (const { node: name } of take(lifts, now)) liftQuarantine(pool, name);
      for (const { node: name } of take(returns, now)) {
        const { off, sick } = machine(name);
        if (off !== undefined && off <= now) delete machine(name).off;
        if (sick && sick.until <= now) delete machine(name).sick;
        if (!crew.isOff(name)) delete node(name).away;
      }
      take(arrivals, now);
      // The pool counts in milliseconds: what is due now is not to be missed by a rounding.
      endRests(pool, Math.round(now * 1000) + 1);
      settle(now);
    },
    /** Whether anything will still change by itself. */
    isExpecting: () => returns.length + lifts.length > 0,
    /** How many nodes of the pool are in the gang, spare, free, or kept from runs. */
    count(): Record<'gang' | 'spare' | 'free' | 'out', number> {
      const gang = crew.members.length - gaps();
      const free = pool.nodes.filter(isFree).length;
      return { gang, spare: crew.spares.length, free, out: names.length - gang - crew.spares.length - free };
    },
  };
  return crew;
}

/** Removes what is due. */
function take<T extends { at: number }>(list: T[], now: number): T[] {
  const due = list.filter(({ at }) => at <= now);
  list.splice(0, list.length, ...list.filter(({ at }) => at > now));
  return due;
}
