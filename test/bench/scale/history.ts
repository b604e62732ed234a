/** What a workflow's history tells of time and size, through all executions that it continued as. */
import type { Client } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';

type Event = temporal.api.history.v1.IHistoryEvent;

export interface Execution {
  events: number;
  /** Of all payloads. */
  bytes: number;
  /** Bytes of all payloads of that event which has most. */
  largestPayload: number;
}

export interface History extends Execution {
  /** When the first activity of this type was scheduled, and the last one completed; in ms since the epoch. */
  scheduled(activity: string): number;
  completed(activity: string): number;
  /** How often one was scheduled. */
  count(activity: string): number;
  /** Events of these activities: scheduled, started, ended, asked to end. */
  eventsOf(activities: string[]): number;
}

/** Each execution by itself, oldest first. */
export async function executionsOf(client: Client, workflowId: string): Promise<Execution[]> {
  return (await chainOf(client, workflowId)).map(sizeOf);
}

export async function historyOf(client: Client, workflowId: string): Promise<History> {
  const chain = await chainOf(client, workflowId);
  const sizes = chain.map(sizeOf);
  const all = chain.flatMap((events, execution) => events.map((event) => brief(event, execution)));
  const typeOf = new Map(all.flatMap(({ id, starts }) => (starts ? [[id, starts] as const] : [])));
  const timesOf = (activity: string, fits: (event: (typeof all)[number]) => boolean): number[] => {
    const times = all.filter(fits).map(({ at }) => at);
    if (times.length === 0) throw new Error(`${workflowId}: no ${activity} in its history`);
    return times;
  };
  return {
    events: sizes.reduce((sum, { events }) => sum + events, 0),
    bytes: sizes.reduce((sum, { bytes }) => sum + bytes, 0),
    largestPayload: Math.max(...sizes.map(({ largestPayload }) => largestPayload)),
    count: (activity) => all.filter(({ starts }) => starts === activity).length,
    scheduled: (activity) => Math.min(...timesOf(activity, ({ starts }) => starts === activity)),
    completed: (activity) =>
      Math.max(...timesOf(activity, ({ about, completes }) => completes && typeOf.get(about ?? '') === activity)),
    eventsOf: (activities) =>
      all.filter(({ id, starts, about }) =>
        activities.includes((starts ? typeOf.get(id) : typeOf.get(about ?? '')) ?? ''),
      ).length,
  };
}

function brief(event: Event, execution: number) {
  const id = (number: unknown) => `${execution}/${String(number)}`;
  const about =
    event.activityTaskStartedEventAttributes?.scheduledEventId ??
    event.activityTaskCompletedEventAttributes?.scheduledEventId ??
    event.activityTaskFailedEventAttributes?.scheduledEventId ??
    event.activityTaskTimedOutEventAttributes?.scheduledEventId ??
    event.activityTaskCancelRequestedEventAttributes?.scheduledEventId ??
    event.activityTaskCanceledEventAttributes?.scheduledEventId;
  return {
    at: Number(event.eventTime?.seconds ?? 0) * 1000 + Number(event.eventTime?.nanos ?? 0) / 1e6,
    id: id(event.eventId),
    starts: event.activityTaskScheduledEventAttributes?.activityType?.name ?? undefined,
    about: about == null ? undefined : id(about),
    completes: event.activityTaskCompletedEventAttributes != null,
  };
}

async function chainOf(client: Client, workflowId: string): Promise<Event[][]> {
  const { raw } = await client.workflow.getHandle(workflowId).describe();
  let runId = raw.workflowExecutionInfo?.firstRunId || raw.workflowExecutionInfo?.execution?.runId;
  const chain: Event[][] = [];
  while (runId) {
    const events: Event[] = (await client.workflow.getHandle(workflowId, runId).fetchHistory()).events ?? [];
    chain.push(events);
    runId = events.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId ?? undefined;
  }
  return chain;
}

function sizeOf(events: Event[]): Execution {
  const payloads = events.map(payloadBytes);
  return {
    events: events.length,
    bytes: payloads.reduce((sum, bytes) => sum + bytes, 0),
    largestPayload: Math.max(0, ...payloads),
  };
}

/** Of everything below: payloads are the only bytes there are. */
function payloadBytes(value: unknown): number {
  if (value instanceof Uint8Array) return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce((sum: number, inner) => sum + payloadBytes(inner), 0);
}
