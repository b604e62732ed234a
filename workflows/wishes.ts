/** What people asked of a run and it has not done yet, and what that means for the generation under way. Pure. */
import type { Gate, RunRequest, Settings } from './requests.js';

/** When a generation is to end: as soon as its ranks have saved, or after the next checkpoint is replicated. */
export type Ending = 'now' | 'checkpoint';

/** A node that is to leave the run. */
export interface Move {
  node: string;
  at: Ending;
  /** Nobody gets it until it is uncordoned. */
  cordon: boolean;
  who: string;
  why: string;
}

export interface Wishes {
  save?: true;
  pause?: { at: Ending; nodes: 'keep' | 'free' };
  moves: Move[];
  /** For the next launch. */
  settings?: Settings;
  /** Decided before the gate was reached, or while the run waits at it. */
  gates: Partial<Record<Gate, 'proceed' | 'stop'>>;
}

/** One request, as it stays on record. */
export interface Asked {
  id: number;
  at: number;
  update: RunRequest['name'];
  /** The node or gate that it is about. */
  about?: string;
  who: string;
  why: string;
  answer: string;
  /** Absent while it waits to be done. */
  ended?: { at: number; how: string };
}

export const noWishes = (): Wishes => ({ moves: [], gates: {} });

/**
 * The nodes that can leave now. One that leaves at a checkpoint waits until there is a node to take its place: until
 * then it does no harm that it trains on.
 */
export function readyMoves(wishes: Wishes, members: string[], spares: string[]): Move[] {
  const isEnough = missing(wishes, members, spares) === 0;
  return wishes.moves.filter(({ at, node }) => isEnough || at === 'now' || !members.includes(node));
}

/** When the generation under way is to end for the sake of what was asked. */
export function endingOf(wishes: Wishes, members: string[], spares: string[]): Ending | undefined {
  const { save, pause } = wishes;
  const ends = [
    ...(save ? ['now'] : []),
    ...(pause ? [pause.at] : []),
    ...readyMoves(wishes, members, spares).map(({ at }) => at),
  ];
  return ends.includes('now') ? 'now' : ends.length > 0 ? 'checkpoint' : undefined;
}

/** How many nodes the run has to ask the pool for, so that all that are to leave can. */
export function missing({ moves }: Wishes, members: string[], spares: string[]): number {
  const isLeaving = (name: string) => moves.some(({ node }) => node === name);
  return Math.max(0, members.filter(isLeaving).length - spares.filter((name) => !isLeaving(name)).length);
}
