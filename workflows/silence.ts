/** What is to be done when a worker goes silent in the middle of a step: it was started again, or its host is gone. */
import { patched } from '@temporalio/workflow';

/** Whose worker goes silent in a step each time is lost to the run, though it answers. */
const MOST = 5;

/** Steps that began before were tried again by the server, once for each poll that a lost host had left there. */
const SILENT_IS_ASKED = 'a worker that was silent in a step is asked';

/**
 * Does a step again as long as the worker that was silent in it answers.
 *
 * @param isSilence whether an error says that nobody was heard of
 * @param isThere asks the worker, and waits a little for one that starts again
 */
export async function outlastingSilence<T>(
  call: () => Promise<T>,
  isSilence: (error: unknown) => boolean,
  isThere: () => Promise<boolean>,
): Promise<T> {
  for (let silences = 1; ; silences++) {
    try {
      return await call();
    } catch (error) {
      if (!isSilence(error) || silences === MOST || !patched(SILENT_IS_ASKED) || !(await isThere())) throw error;
    }
  }
}
