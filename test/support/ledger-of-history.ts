/**
 * Where a run's time went, from Temporal's history of it and its generations alone: an independent account to hold
 * against what the run says of itself.
 */
import type { Client } from '@temporalio/client';
import type { GenerationInput, GenerationResult } from '../../workflows/generation-progress.js';
import type { GenerationNews, NodesGranted } from '../../workflows/messages.js';

export interface HistoryLedger {
  /** From the run's start to its end. */
  seconds: number;
  /** What the nodes that were granted to it were held for. */
  nodeSeconds: number;
  /** In iterations that count, at the mean pace of all that their generation told. */
  trained: number;
  /** Of the nodes that were held meanwhile, spares too: in iterations that count, and in those that were trained again. */
  trainedNodeSeconds: number;
  againNodeSeconds: number;
  lostIterations: number;
}

export async function ledgerOfHistory(client: Client, run: string): Promise<HistoryLedger> {
  const own = await eventsOf(client, run);
  const begin = timeOf(own[0]!);
  const end = timeOf(own.at(-1)!);
  const generations: { input: GenerationInput; iteration: number; pace: number }[] = [];
  for (
    let number = 1;
    number <= own.filter((event) => event.childWorkflowExecutionStartedEventAttributes).length;
    number++
  ) {
    const events = await eventsOf(client, `${run}/gen-${number}`).catch(() => undefined);
    if (!events) break;
    const input = payload<GenerationInput>(events[0]!.workflowExecutionStartedEventAttributes?.input?.payloads);
    const result = payload<GenerationResult>(
      events.at(-1)!.workflowExecutionCompletedEventAttributes?.result?.payloads,
    );
    const pace = meanPace(
      signals<GenerationNews>(own, 'generationNews').flatMap(({ body }) => (body.generation === number ? [body] : [])),
      input!.startedFrom,
    );
    generations.push({ input: input!, iteration: result!.iteration, pace });
  }
  const ledger = { seconds: (end - begin) / 1000, nodeSeconds: 0, trained: 0, lostIterations: 0 };
  const held = { trainedNodeSeconds: 0, againNodeSeconds: 0 };
  for (const [index, { input, iteration, pace }] of generations.entries()) {
    const kept = generations[index + 1]?.input.startedFrom ?? iteration;
    ledger.trained += (kept - input.startedFrom) * pace;
    const nodes = input.nodes.length + input.spares.length;
    held.trainedNodeSeconds += (kept - input.startedFrom) * pace * nodes;
    held.againNodeSeconds += (iteration - kept) * pace * nodes;
    ledger.lostIterations += iteration - kept;
  }
  for (const { at, body } of signals<NodesGranted>(own, 'nodesGranted'))
    ledger.nodeSeconds += (body.nodes.length * (end - at)) / 1000;
  for (const event of own) {
    const lost = event.signalExternalWorkflowExecutionInitiatedEventAttributes;
    if (lost?.signalName === 'reportLost') ledger.nodeSeconds -= (end - timeOf(event)) / 1000;
  }
  return { ...ledger, ...held };
}

/** Seconds an iteration: what a machine that does other things too takes for the last one is no measure of the others. */
function meanPace(news: GenerationNews[], from: number): number {
  let [reached, seconds] = [from, 0];
  for (const { iteration, secondsPerIteration } of news) {
    if (iteration <= reached || secondsPerIteration === undefined) continue;
    seconds += (iteration - reached) * secondsPerIteration;
    reached = iteration;
  }
  return reached > from ? seconds / (reached - from) : 0;
}

type Event = Awaited<ReturnType<typeof eventsOf>>[number];

const eventsOf = async (client: Client, id: string) =>
  (await client.workflow.getHandle(id).fetchHistory()).events ?? [];

const signals = <T>(events: Event[], name: string): { at: number; body: T }[] =>
  events.flatMap((event) => {
    const signal = event.workflowExecutionSignaledEventAttributes;
    return signal?.signalName === name ? [{ at: timeOf(event), body: payload<T>(signal.input?.payloads)! }] : [];
  });

const timeOf = ({ eventTime }: Event): number => Number(eventTime?.seconds ?? 0) * 1000 + (eventTime?.nanos ?? 0) / 1e6;

function payload<T>(payloads: { data?: Uint8Array | null }[] | null | undefined): T | undefined {
  const data = payloads?.[0]?.data;
  return data?.length ? (JSON.parse(Buffer.from(data).toString()) as T) : undefined;
}
