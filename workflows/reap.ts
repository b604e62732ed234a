/**
 * Removes what terminated runs left, as a schedule has it done: first the pool's book, then what lies on each node. What
 * is closed the server says, for every run by itself: nothing of one that is open, or that it does not know, is touched.
 */
import { ApplicationFailure, isCancellation, setCurrentDetails, setHandler } from '@temporalio/workflow';
import { onControl, onNode, type Timing } from './contract.js';
import { milliseconds } from './duration.js';
import { messageOf } from './failure-chain.js';
import type { ReapInput } from './leftovers.js';
import { release, status } from './messages.js';
import { to } from './pool-conversation.js';
import { describeReaping, readReapRequest, type Reaping, type ReapRequest } from './reap-request.js';

/** Nobody waits for a reaper: a node that is away is looked at the next time. */
const TIMING: Timing = { heartbeat: '10s', agentAway: '30s', agentGrace: '30s', lease: '30s', stopGrace: '30s' };

/** Nodes at a time: what is told to all of them must fit in one task of this workflow. */
const AT_ONCE = 100;

/** @returns its page of text, a line each */
export async function reap(input?: unknown): Promise<{ page: string[] }> {
  const read = readReapRequest(input);
  if ('wrong' in read) throw ApplicationFailure.nonRetryable(read.wrong, 'InvalidInput');
  const { request } = read;
  let page = 'looks at what runs left';
  setHandler(status, () => page, { description: 'What was removed, and what is left alone' });
  const lines = describeReaping(await reapPool(request));
  page = lines.join('\n');
  setCurrentDetails(page);
  return { page: lines };
}

async function reapPool(request: ReapRequest): Promise<Reaping> {
  const { pool, grace, dryRun } = request;
  const before = Date.now() - milliseconds(grace);
  const { nodes, holders } = await onControl().lookAtPool({ pool });
  const released: Reaping['released'] = [];
  for (const { holder, nodes: held } of holders) {
    if ((await onControl().describeHolder(holder)).open) continue;
    if (!dryRun) await to({ workflowId: `pool-${pool}`, firstRunId: '' }).signal(release, { holder });
    released.push({ run: holder.workflowId, nodes: held });
  }

  const reaped: Reaping['nodes'] = [];
  const unknown = new Set<string>();
  for (let from = 0; from < nodes.length; from += AT_ONCE) {
    const group = await reapNodes(nodes.slice(from, from + AT_ONCE), { before, dryRun });
    reaped.push(...group.nodes);
    for (const run of group.unknown) unknown.add(run);
  }
  return { request, released, nodes: reaped, unknown: [...unknown] };
}

/** The server is asked anew each time: a run may have begun meanwhile. */
async function reapNodes(
  nodes: string[],
  how: Pick<ReapInput, 'before' | 'dryRun'>,
): Promise<Pick<Reaping, 'nodes' | 'unknown'>> {
  const found = await Promise.all(
    nodes.map((node) => attempt(() => onNode(node, TIMING).findLeft({ before: how.before }))),
  );
  const runs = [...new Set(found.flatMap((one) => ('value' in one ? one.value.runs : [])))].sort();
  const { closed, unknown, openSince } = await onControl('15 minutes').askAfterRuns({ runs });
  const reaped = await Promise.all(
    nodes.map(async (node, index) => {
      const own = found[index]!;
      if ('error' in own) return { node, error: own.error };
      const input = {
        closed: closed.filter(({ run }) => own.value.runs.includes(run)),
        ...(openSince !== undefined && { openSince }),
        ...how,
      };
      const answer = await attempt(() => onNode(node, TIMING).reapLeft(input));
      return 'error' in answer ? { node, error: answer.error } : { node, reaped: answer.value };
    }),
  );
  return { nodes: reaped, unknown };
}

async function attempt<T>(ask: () => Promise<T>): Promise<{ value: T } | { error: string }> {
  try {
    return { value: await ask() };
  } catch (error) {
    if (isCancellation(error)) throw error;
    return { error: messageOf(error) };
  }
}
