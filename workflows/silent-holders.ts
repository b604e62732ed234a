/** A copy that nobody gives who has it: these are asked whether they are there, and with that it goes on or they are lost. */
import { ApplicationFailure, isCancellation, log, patched, sleep } from '@temporalio/workflow';
import { isThere, type AsksHolders, type Timing } from './contract.js';
import { failureIn, messageOf, silentHolders } from './failure-chain.js';

/** As often as the server tries a step that it tries again by itself. */
const MOST = 5;

/** Before, who did not answer was tried five times over, for as long as each time took, before anybody asked. */
const HOLDERS_ASKED = 'holders that do not answer are asked';

/** What is to be done when nobody answered for the so many-th time: the pause to the next attempt, in milliseconds. */
export function afterSilence(times: number, isAnyThere: boolean): { pauseMs: number } | 'lost' | 'given up' {
  if (!isAnyThere) return 'lost';
  return times >= MOST ? 'given up' : { pauseMs: 1000 * 2 ** (times - 1) };
}

/** Whose loss a run makes up for, of those that did not answer. */
export type IsOurs = (name: string) => boolean;

/**
 * What asks holders, each by one question at a time, however many copy from them.
 *
 * @param isOurs nodes of others that do not answer are not lost to the run: it looks again who has what
 * @returns does a step, and again while one of them answers; throws `NodeLost` with the name of one that does not, and
 *   what passes by itself where they answer all the same and yet gave nothing
 */
export function createHolders(timing: Timing, isOurs: IsOurs = () => true) {
  const isAnyThere = createQuestions((name) => isThere(name, timing));
  const outlasting = async <T>(step: (asks: AsksHolders) => Promise<T>): Promise<T> => {
    for (let times = 1; ; times++) {
      try {
        return await step({ asksHolders: true });
      } catch (error) {
        const silent = silentHolders(error);
        if (silent === undefined) throw error;
        const next = afterSilence(times, await isAnyThere(silent));
        if (next === 'lost') throw holderLost(silent.find(isOurs), error);
        if (next === 'given up') throw passing(error);
        log.warn('who has something does not give it, and answers', { holders: silent, why: messageOf(error) });
        await sleep(next.pauseMs);
      }
    }
  };
  // Not a turn of the event loop later where it is as it was: what else happens in one task has its order.
  return <T>(step: (asks: AsksHolders) => Promise<T>): Promise<T> =>
    patched(HOLDERS_ASKED) ? outlasting(step) : step({});
}

/** @returns whether one of several is there, as soon as one is */
export function createQuestions(ask: (name: string) => Promise<boolean>): (names: string[]) => Promise<boolean> {
  const under = new Map<string, Promise<boolean>>();
  const once = (name: string): Promise<boolean> => {
    const asked = under.get(name) ?? ask(name).finally(() => under.delete(name));
    under.set(name, asked);
    return asked;
  };
  return async (names) => {
    try {
      return await Promise.any(names.map(async (name) => (await once(name)) || Promise.reject(new Error(name))));
    } catch (error) {
      const cancelled = ((error as AggregateError).errors as Error[]).find(isCancellation);
      if (cancelled !== undefined) throw cancelled;
      return false;
    }
  };
}

const toldBy = (error: unknown): object => (failureIn(error, 'HoldersAway')?.details?.[0] as object | undefined) ?? {};

/** Whoever turns to another source for what nobody gave finds in it what it does in other such failures. */
const holderLost = (name: string | undefined, error: unknown): ApplicationFailure =>
  name === undefined
    ? passing(error)
    : ApplicationFailure.create({
        type: 'NodeLost',
        nonRetryable: true,
        message: `${name} did not answer: ${messageOf(error)}`,
        details: [{ ...toldBy(error), node: name }],
        cause: error as Error,
      });

/** As it ends where nobody asks: phases before a launch begin again with it, and look anew. */
export const passing = (error: unknown): ApplicationFailure =>
  ApplicationFailure.create({
    type: 'CommandFailed',
    message: messageOf(error),
    details: [toldBy(error)],
    cause: error as Error,
  });
