/** What a workflow's history tells of time and size. */
import type { Client } from '@temporalio/client';

export interface History {
  events: number;
  bytes: number;
  /** Bytes of all payloads of that event which has most. */
  largestPayload: number;
  /** When the first activity of this type was scheduled, and the last one completed; in ms since the epoch. */
  scheduled(activity: string): number;
  completed(activity: string): number;
  /** How often one was scheduled. */
  count(activity: string): number;
}

export async function historyOf(client: Client, workflowId: string): Promise<History> {
  const handle = client.workflow.getHandle(workflowId);
  const { events } = await handle.fetchHistory();
  const { historySize } = await handle.describe();
  const all = (events ?? []).map((event) => ({
    at: Number(event.eventTime?.seconds ?? 0) * 1000 + Number(event.eventTime?.nanos ?? 0) / 1e6,
    id: Number(event.eventId),
    starts: event.activityTaskScheduledEventAttributes?.activityType?.name ?? undefined,
    ends: Number(event.activityTaskCompletedEventAttributes?.scheduledEventId ?? 0),
    payload: payloadBytes(event),
  }));
  const typeOf = new Map(all.flatMap(({ id, starts }) => (starts ? [[id, starts] as const] : [])));
  const found = (activity: string, times: number[]): number[] => {
    if (times.length === 0) throw new Error(`${workflowId}: no ${activity} in its history`);
    return times;
  };
  const timesOf = (fits: (event: (typeof all)[number]) => boolean) => all.filter(fits).map(({ at }) => at);
  return {
    events: all.length,
    bytes: historySize ?? 0,
    largestPayload: Math.max(0, ...all.map(({ payload }) => payload)),
    count: (activity) => all.filter(({ starts }) => starts === activity).length,
    scheduled: (activity) =>
      found(
        activity,
        timesOf(({ starts }) => starts === activity),
      )[0]!,
    completed: (activity) =>
      found(
        activity,
        timesOf(({ ends }) => typeOf.get(ends) === activity),
      ).at(-1)!,
  };
}

/** Of everything below: payloads are the only bytes there are. */
function payloadBytes(value: unknown): number {
  if (value instanceof Uint8Array) return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce((sum: number, inner) => sum + payloadBytes(inner), 0);
}
