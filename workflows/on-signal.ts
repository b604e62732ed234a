/**
 * Signals as they come: also from people who mistype and from workers of another version. What is not what it should be
 * is left out and told in the log; an error in a handler would stop the workflow at this signal for ever.
 */
import { log, setHandler, type SignalDefinition } from '@temporalio/workflow';
import { problemIn } from './signal-shapes.js';

export function onSignal<T>(signal: SignalDefinition<[T]>, handler: (sent: T) => void | Promise<void>): void {
  setHandler(signal, (sent) => {
    const problem = problemIn(signal.name, sent);
    if (problem === undefined) return handler(sent);
    log.warn('a signal is left out: it is not what it should be', { signal: signal.name, problem });
    return undefined;
  });
}
