/** What a run did before its first launch, from Temporal's histories of it and its children alone. */
import type { Client } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import type { FetchFilesInput, PreprocessShardInput } from '../../workflows/contract.js';

type Event = temporal.api.history.v1.IHistoryEvent;

export interface Preparation {
  /** From the run's start to its first launch. */
  seconds: number;
  /** Of the check of nodes, which imports what training imports, until the last node has answered. */
  checkSeconds: number;
  /** Of the child that brings the data, from its start to its end. */
  dataSeconds: number;
  /** Files of the dataset that were fetched, and preprocessed, on any node. */
  fetched: string[];
  preprocessed: string[];
  /** Every step in order: when it was asked for, how long it waited for a worker, how long it took. */
  timeline: string[];
}

export async function preparationOf(client: Client, run: string): Promise<Preparation> {
  const eventsOf = async (id: string): Promise<Event[]> =>
    (await client.workflow.getHandle(id).fetchHistory()).events ?? [];
  const [own, before, data, generation] = await Promise.all(
    ['', '/prepare-1', '/data', '/gen-1'].map((child) => eventsOf(run + child)),
  );
  const begin = timeOf(own![0]!);
  const launch = generation!.find(
    (event) => event.activityTaskScheduledEventAttributes?.activityType?.name === 'launchTraining',
  );
  if (!launch) throw new Error(`${run}: no launch in its history`);
  const fetched = inputsOf<FetchFilesInput>(data!, 'fetchFiles').filter(({ dir }) => dir.startsWith('datasets/'));
  const shards = inputsOf<PreprocessShardInput>(data!, 'preprocessShard');
  return {
    seconds: (timeOf(launch) - begin) / 1000,
    checkSeconds: secondsOf(before!, 'checkNode'),
    dataSeconds: (timeOf(data!.at(-1)!) - timeOf(data![0]!)) / 1000,
    fetched: unique(fetched.flatMap(({ files }) => files.map(({ path }) => path))),
    preprocessed: unique(shards.flatMap(({ files }) => files)),
    timeline: [own!, before!, data!, generation!]
      .flatMap((events, index) => stepsOf(events, ['run', 'prepare', 'data', 'generation'][index]!))
      .filter(({ at }) => at <= timeOf(launch))
      .sort((a, b) => a.at - b.at)
      .map(({ at, what }) => `${((at - begin) / 1000).toFixed(3).padStart(8)} s  ${what}`),
  };
}

/** Activities with what they waited and took; workflow tasks and everything else by the name of the event. */
function stepsOf(events: Event[], where: string): { at: number; what: string }[] {
  return events.flatMap((event) => {
    const at = timeOf(event);
    const scheduled = event.activityTaskScheduledEventAttributes;
    if (scheduled) {
      const id = String(event.eventId);
      const started = events.find((one) => String(one.activityTaskStartedEventAttributes?.scheduledEventId) === id);
      const ended = events.find((one) => String(one.activityTaskCompletedEventAttributes?.scheduledEventId) === id);
      const times = started && ended ? [timeOf(started) - at, timeOf(ended) - timeOf(started)] : [];
      const said = times.map((ms) => `${ms.toFixed(0)} ms`);
      return [
        {
          at,
          what: `${where}: ${scheduled.activityType?.name} on ${scheduled.taskQueue?.name}, waited ${said[0]}, took ${said[1]}`,
        },
      ];
    }
    const signal = event.workflowExecutionSignaledEventAttributes?.signalName;
    const timer = event.timerStartedEventAttributes;
    if (signal) return [{ at, what: `${where}: hears ${signal}` }];
    if (timer) return [{ at, what: `${where}: timer of ${String(timer.startToFireTimeout?.seconds)} s` }];
    if (event.workflowTaskScheduledEventAttributes) return [{ at, what: `${where}: workflow task` }];
    return [];
  });
}

/** From the first of these activities being asked for to the last one's end. */
function secondsOf(events: Event[], activity: string): number {
  const asked = events.filter((event) => event.activityTaskScheduledEventAttributes?.activityType?.name === activity);
  const ids = asked.map(({ eventId }) => String(eventId));
  const ended = events.filter((event) =>
    ids.includes(String(event.activityTaskCompletedEventAttributes?.scheduledEventId)),
  );
  return (Math.max(...ended.map(timeOf)) - Math.min(...asked.map(timeOf))) / 1000;
}

function inputsOf<T>(events: Event[], activity: string): T[] {
  return events.flatMap((event) => {
    const scheduled = event.activityTaskScheduledEventAttributes;
    const data = scheduled?.activityType?.name === activity && scheduled.input?.payloads?.[0]?.data;
    return data ? [JSON.parse(Buffer.from(data).toString()) as T] : [];
  });
}

const timeOf = ({ eventTime }: Event): number => Number(eventTime?.seconds ?? 0) * 1000 + (eventTime?.nanos ?? 0) / 1e6;
const unique = (names: string[]): string[] => [...new Set(names)].sort();
