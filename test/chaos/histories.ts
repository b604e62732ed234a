/** What Temporal's histories say of a case's runs: generations, copies, restores and tasks that failed. */
import { isGrpcServiceError, type Client } from '@temporalio/client';
import type { ReplicateCheckpointInput } from '../../workflows/contract.js';
import type { GenerationInput } from '../../workflows/generation-progress.js';
import type { CheckpointReplicated } from '../../workflows/messages.js';

export interface GenerationHistory {
  run: string;
  generation: number;
  input: GenerationInput;
  startedAt: number;
  closedAt: number | undefined;
  outcome: 'finished' | 'failed' | 'none';
  /** Each part's word that what it has of an iteration is sealed and copied. */
  copied: { task: string; iteration: number; at: number }[];
  /** The parts of the copying that nodes were given, what was handed over by others among them. */
  parts: { task: string; node: string; copies: string[] }[];
  /** When an activity of it first failed or timed out. */
  firstFailure: { at: number; what: string } | undefined;
}

export interface Restore {
  run: string;
  node: string;
  iteration: number;
  at: number;
}

export interface Histories {
  generations: GenerationHistory[];
  /** Restores that were completed. */
  restores: Restore[];
  /** When preparations of a launch failed, as where a node is lost meanwhile. */
  preparationsFailed: number[];
  /** Workflow tasks that failed: code that does not replay, or throws. */
  taskFailures: string[];
}

export type Events = NonNullable<
  Awaited<ReturnType<ReturnType<Client['workflow']['getHandle']>['fetchHistory']>>['events']
>;
type Event = Events[number];

export async function readHistories(client: Client, runs: string[], pool: string): Promise<Histories> {
  const found: Histories = { generations: [], restores: [], preparationsFailed: [], taskFailures: [] };
  found.taskFailures.push(...taskFailuresIn(pool, (await eventsOf(client, pool)) ?? []));
  for (const run of runs) {
    const events = (await eventsOf(client, run)) ?? [];
    found.taskFailures.push(...taskFailuresIn(run, events));
    found.preparationsFailed.push(...preparationsFailedIn(run, events));
    found.taskFailures.push(...taskFailuresIn(`${run}/data`, (await eventsOf(client, `${run}/data`)) ?? []));
    for (let generation = 1; ; generation++) {
      // A preparation that began again has the same id: the last one is what the launch followed on.
      const before = `${run}/prepare-${generation}`;
      const preparation = await eventsOf(client, before);
      found.restores.push(...restoresIn(run, preparation ?? []));
      found.taskFailures.push(...taskFailuresIn(before, preparation ?? []));
      const id = `${run}/gen-${generation}`;
      const own = await eventsOf(client, id);
      if (!own) break;
      found.generations.push(generationIn(run, generation, own));
      found.taskFailures.push(...taskFailuresIn(id, own));
    }
  }
  return found;
}

/** Of gRPC. */
const NOT_FOUND = 5;

async function eventsOf(client: Client, workflowId: string): Promise<Events | undefined> {
  try {
    return (await client.workflow.getHandle(workflowId).fetchHistory()).events ?? [];
  } catch (error) {
    if (isGrpcServiceError(error) && Number(error.code) === NOT_FOUND) return undefined;
    throw error;
  }
}

function generationIn(run: string, generation: number, events: Events): GenerationHistory {
  const started = events[0]!;
  const input = payload<GenerationInput>(started.workflowExecutionStartedEventAttributes?.input?.payloads)!;
  const closed = events.find((event) => event.workflowExecutionCompletedEventAttributes);
  const result = payload<{ outcome: 'finished' | 'failed' }>(
    closed?.workflowExecutionCompletedEventAttributes?.result?.payloads,
  );
  const copied = events.flatMap((event) => {
    const signal = event.workflowExecutionSignaledEventAttributes;
    if (signal?.signalName !== 'checkpointReplicated') return [];
    const { task, iteration } = payload<CheckpointReplicated>(signal.input?.payloads)!;
    return [{ task, iteration, at: timeOf(event) }];
  });
  const parts = events.flatMap((event) => {
    const scheduled = event.activityTaskScheduledEventAttributes;
    if (scheduled?.activityType?.name !== 'replicateCheckpoint') return [];
    const { task, copies } = payload<ReplicateCheckpointInput>(scheduled.input?.payloads)!;
    return [{ task, node: scheduled.taskQueue!.name!.replace('node-', ''), copies: copies.map(({ shard }) => shard) }];
  });
  const failures = events.filter(
    (event) => event.activityTaskFailedEventAttributes ?? event.activityTaskTimedOutEventAttributes,
  );
  // A copier is missed earlier than a watch, and decides nothing where there is one.
  const failed = failures.find((event) => !isCopier(event, events)) ?? failures[0];
  return {
    ...{ run, generation, input, copied, parts },
    startedAt: timeOf(started),
    closedAt: closed && timeOf(closed),
    outcome: result?.outcome ?? 'none',
    firstFailure: failed && { at: timeOf(failed), what: whatFailed(failed, events) },
  };
}

function whoFailed(event: Event, events: Events) {
  const attributes = event.activityTaskFailedEventAttributes ?? event.activityTaskTimedOutEventAttributes;
  const scheduled = scheduledOf(attributes?.scheduledEventId, events)?.activityTaskScheduledEventAttributes;
  return { attributes, scheduled };
}

const isCopier = (event: Event, events: Events): boolean =>
  ['replicateCheckpoint', 'pingNode', 'probePeer'].includes(
    whoFailed(event, events).scheduled?.activityType?.name ?? '',
  );

function whatFailed(event: Event, events: Events): string {
  const { attributes, scheduled } = whoFailed(event, events);
  return `${scheduled?.activityType?.name} on ${scheduled?.taskQueue?.name}: ${attributes?.failure?.message}`;
}

const restoresIn = (run: string, events: Events): Restore[] =>
  events.flatMap((event) => {
    const completed = event.activityTaskCompletedEventAttributes;
    const scheduled = scheduledOf(completed?.scheduledEventId, events)?.activityTaskScheduledEventAttributes;
    if (scheduled?.activityType?.name !== 'restoreCheckpoint') return [];
    const { dir, iteration } = payload<{ dir: string; iteration: number }>(scheduled.input?.payloads)!;
    if (!dir.startsWith('series/')) return [];
    return [{ run, node: scheduled.taskQueue!.name!.replace('node-', ''), iteration, at: timeOf(event) }];
  });

const preparationsFailedIn = (run: string, events: Events): number[] =>
  events.flatMap((event) => {
    const child = event.childWorkflowExecutionFailedEventAttributes?.workflowExecution?.workflowId;
    return child?.startsWith(`${run}/prepare-`) ? [timeOf(event)] : [];
  });

/** A task that a worker's end or a new signal set aside is nobody's mistake. */
const HARMLESS = new Set(['UNHANDLED_COMMAND', 'RESET_STICKY_TASK_QUEUE', 'FORCE_CLOSE_COMMAND']);

export const taskFailuresIn = (id: string, events: Events): string[] =>
  events.flatMap((event) => {
    const failed = event.workflowTaskFailedEventAttributes;
    if (!failed || HARMLESS.has(CAUSES[Number(failed.cause)] ?? '')) return [];
    return [`${id}: workflow task ${Number(event.eventId)} failed (cause ${failed.cause}): ${failed.failure?.message}`];
  });

/** Of Temporal's WorkflowTaskFailedCause. */
const CAUSES: Record<number, string> = {
  1: 'UNHANDLED_COMMAND',
  13: 'RESET_STICKY_TASK_QUEUE',
  17: 'FORCE_CLOSE_COMMAND',
};

const scheduledOf = (id: unknown, events: Events): Event | undefined =>
  id === undefined || id === null ? undefined : events.find((event) => String(event.eventId) === String(id as number));

const timeOf = ({ eventTime }: Event): number =>
  Number(eventTime?.seconds ?? 0) * 1000 + Math.floor((eventTime?.nanos ?? 0) / 1e6);

function payload<T>(payloads: { data?: Uint8Array | null }[] | null | undefined): T | undefined {
  const data = payloads?.[0]?.data;
  return data?.length ? (JSON.parse(Buffer.from(data).toString()) as T) : undefined;
}
