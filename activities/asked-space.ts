/**
 * Room for what a process of its own brings, where the process that it works for counts what all steps of the node are
 * bringing: it is asked before the first byte, told what is left while bytes come, and told the end.
 */
import type { Room, WithSpace } from './promised-space.js';
import type { StepOptions } from './step.js';
import { errorOf, toldOf, type Told } from './told-error.js';

type Step = Pick<StepOptions, 'node' | 'name'>;

/** Of one step, by its number. */
export type SpaceAsked = { step: number } & (
  { room: Omit<Room, 'left'>; for: Step } | { left: number } | { over: true }
);
export type SpaceGiven = { step: number; refused?: Told };

const TELL_EVERY_MS = 500;

/** The side that asks. */
export function createSpaceAsker(send: (asked: SpaceAsked) => void) {
  let last = 0;
  const waiting = new Map<number, (given: SpaceGiven) => void>();
  const withSpace: WithSpace = async ({ path, bytes, left }, { node, name }, work) => {
    const step = last++;
    const given = new Promise<SpaceGiven>((resolve) => waiting.set(step, resolve));
    send({ step, room: { path, bytes }, for: { node, name } });
    const { refused } = await given;
    waiting.delete(step);
    if (refused) throw errorOf(refused);
    const tell = async () => send({ step, left: await left() });
    const telling = setInterval(() => void tell(), TELL_EVERY_MS);
    try {
      return await work();
    } finally {
      clearInterval(telling);
      send({ step, over: true });
    }
  };
  return { withSpace, onGiven: (given: SpaceGiven) => waiting.get(given.step)?.(given) };
}

/** The side that counts, with the help of its own `withSpace`. */
export function createSpaceGiver(withSpace: WithSpace, send: (given: SpaceGiven) => void) {
  const held = new Map<number, { left: number; end(): void }>();
  const give = async (step: number, { path, bytes }: Omit<Room, 'left'>, of: Step) => {
    const mine = { left: bytes, end: () => undefined as void };
    const over = new Promise<void>((resolve) => (mine.end = resolve));
    held.set(step, mine);
    try {
      await withSpace({ path, bytes, left: () => mine.left }, of, () => {
        send({ step });
        return over;
      });
    } catch (error) {
      send({ step, refused: toldOf(error) });
    } finally {
      held.delete(step);
    }
  };
  return {
    onAsked(asked: SpaceAsked): void {
      if ('room' in asked) return void give(asked.step, asked.room, asked.for);
      const mine = held.get(asked.step);
      if ('over' in asked) mine?.end();
      else if (mine) mine.left = asked.left;
    },
    /** The other process is gone. */
    onGone(): void {
      for (const { end } of held.values()) end();
    },
  };
}
