/** Work that does not depend on each other. */
import { CancellationScope } from '@temporalio/workflow';

/**
 * Does all of it at once. When one part fails the others are cancelled, and their end is waited for: whoever begins again
 * finds nothing of them on its way.
 */
export function atOnce<T extends unknown[]>(...parts: { [K in keyof T]: () => Promise<T[K]> }): Promise<T> {
  const scope = new CancellationScope({ cancellable: true });
  return scope.run(async () => {
    const begun = parts.map((part) => part());
    try {
      return (await Promise.all(begun)) as T;
    } catch (error) {
      scope.cancel();
      await Promise.allSettled(begun);
      throw error;
    }
  });
}
