/** Whether the ranks began from the checkpoint that was planned, by what rank 0 prints as it loads. Pure. */
import type { TrainingVerdict } from './contract.js';

export interface Began extends Pick<TrainingVerdict, 'loadedAt' | 'startedOver'> {
  /** The first step begins. */
  stepping?: boolean;
}

export interface WrongStart {
  name: 'loaded-other-iteration' | 'missing-tracker' | 'loaded-nothing';
  why: string;
}

/** @param loads iteration that was to be loaded, 0 for the weights of another model */
export function wrongStart({ loadedAt, startedOver, stepping }: Began, loads: number): WrongStart | undefined {
  const planned = `${loads === 0 ? 'converted weights' : `iteration ${loads}`} planned`;
  if (startedOver) return { name: 'missing-tracker', why: `random weights, with ${planned}` };
  if (loadedAt !== undefined && loadedAt !== loads)
    return { name: 'loaded-other-iteration', why: `iteration ${loadedAt}, with ${planned}` };
  if (stepping && loadedAt === undefined)
    return { name: 'loaded-nothing', why: `a checkpoint that the log does not name, with ${planned}` };
  return undefined;
}
