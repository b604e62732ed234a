/**
 * The durable roster of a cluster's nodes and who holds them. Node workers announce themselves; runs ask for
 * nodes and for launch tokens, and are answered, by signal, since a workflow cannot send another an update.
 */
import {
  allHandlersFinished,
  condition,
  continueAsNew,
  log,
  patched,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { onControl, onProbe } from './contract.js';
import { failureIn, messageOf } from './failure-chain.js';
import {
  acquire,
  cordonNode,
  join,
  launchGranted,
  nodesGranted,
  poolState,
  release,
  reportFault,
  reportLost,
  requestLaunch,
  soaked,
  status,
  type AcquireNodes,
} from './messages.js';
import { applyToPool } from './cordon.js';
import { onSignal } from './on-signal.js';
import { handlePoolUpdates, tellPlaces, to } from './pool-conversation.js';
import { describePool } from './pool-page.js';
import { endRests, noteFault, passSoak } from './quarantine.js';
import {
  candidates,
  enqueue,
  giveBack,
  grant,
  holdersOf,
  isFreeFor,
  nextRequest,
  noteAway,
  noteBack,
  type PoolNode,
  type PoolState,
} from './roster.js';

/** How often holders are asked whether they still run while somebody waits for their nodes. */
const RECHECK_MS = 15_000;

/** Pools that began before ask nodes that are away, which takes as long as they are silent, before they give one that is there. */
const FREE_FIRST = 'what is free is given first';
/** Before, a node that had moved to another pool was leased by both: it answers whoever knows its name. */
const NO_LONGER_HERE = 'nodes of other pools are not given';
/** Before, whoever drained a node in the very task in which the pool continued as new was not heard by its run. */
const TOLD_FIRST = 'holders are told before the pool goes on';

export async function nodePool(initial?: PoolState): Promise<never> {
  const state: PoolState = initial ?? { nodes: [], waiting: [], token: 0 };
  let changed = true;
  let looked = Date.now();
  const told = new Map<string, string>();

  onSignal(join, ({ token, pool: _, ...info }) => {
    // A pool that was terminated begins to count anew, and the nodes would refuse what it gives.
    state.token = Math.max(state.token, token);
    const known = state.nodes.find(({ name }) => name === info.name);
    if (known) {
      Object.assign(known, info, { heard: Date.now() });
      noteBack(known);
    } else state.nodes.push({ ...info, heard: Date.now() });
    changed = true;
  });
  onSignal(acquire, (request) => {
    enqueue(state, request, Date.now());
    changed = true;
  });
  // Answered at once, since the queue may be waiting for a node that does not answer.
  onSignal(requestLaunch, async ({ requestId, holder }) => {
    const token = ++state.token;
    try {
      await to(holder).signal(launchGranted, { requestId, token });
    } catch (error) {
      log.warn('nobody took the launch token', { holder: holder.workflowId, token, error: String(error) });
    }
  });
  onSignal(reportLost, ({ node, reason }) => {
    const known = state.nodes.find(({ name }) => name === node);
    if (known) noteAway(known, reason, Date.now());
  });
  onSignal(reportFault, (fault) => {
    noteFault(state, fault);
    changed = true;
  });
  onSignal(soaked, (passed) => {
    passSoak(state, passed, Date.now());
    changed = true;
  });
  onSignal(release, ({ holder, nodes, unused }) => {
    giveBack(state, holder, nodes, unused);
    changed = true;
  });
  onSignal(cordonNode, (wanted) => applyToPool(state, { name: 'cordon', ...wanted }, Date.now()));
  const telling = handlePoolUpdates(state, () => (changed = true));
  setHandler(status, () => describePool(state, Date.now()), {
    description: "The pool's page: every node and its state, who waits behind whom, what people did",
  });

  setHandler(poolState, () => state, { description: 'The same as JSON' });

  for (;;) {
    setCurrentDetails(describePool(state, Date.now()));
    await condition(() => changed, state.waiting.length ? RECHECK_MS : '1 day');
    changed = false;
    // By the clock and not by the time-out: where signals never cease, it would never come.
    const isDue = state.waiting.length > 0 && Date.now() - looked >= RECHECK_MS;
    if (isDue && patched(FREE_FIRST)) {
      endRests(state, Date.now());
      await settle(state);
    }
    if (isDue && state.waiting.length > 0) {
      await lookAgain(state);
      looked = Date.now();
    }
    endRests(state, Date.now());
    await settle(state);
    await tellPlaces(state, told);
    if (!workflowInfo().continueAsNewSuggested) continue;
    await condition(allHandlersFinished);
    // The server sends no signal for an execution that ends with the same task.
    if (telling.size > 0 && patched(TOLD_FIRST)) await condition(() => telling.size === 0);
    if (!changed) await continueAsNew<typeof nodePool>(state);
  }
}

/** Serves the queue in order, all or none: a large request is not overtaken for ever by small ones behind it. */
async function settle(state: PoolState): Promise<void> {
  for (let request; (request = nextRequest(state, Date.now()));) {
    const chosen = await choose(state, request);
    if (!chosen) return;
    // The handlers ran while nodes were asked: the request may be withdrawn, a node lost or taken meanwhile.
    if (!state.waiting.includes(request)) continue;
    const { holder } = request;
    try {
      await to(holder).signal(nodesGranted, grant(state, request, chosen));
    } catch (error) {
      log.warn('the holder is gone: its nodes are free again', { holder: holder.workflowId, error: String(error) });
      giveBack(state, holder);
    }
  }
}

/** Enough free nodes that answer right now; nothing if there are too few. */
async function choose(state: PoolState, request: AcquireNodes): Promise<PoolNode[] | undefined> {
  for (;;) {
    const chosen = candidates(state, request);
    if (!chosen) return undefined;
    const answers = await Promise.all(chosen.map((node) => ping(state, node)));
    if (answers.every(Boolean) && chosen.every((node) => isFreeFor(node, request))) return chosen;
  }
}

async function ping(state: PoolState, node: PoolNode): Promise<boolean> {
  try {
    const { token, pool, ...info } = await onProbe(node.name).pingNode();
    if (pool !== undefined && `pool-${pool}` !== workflowInfo().workflowId && patched(NO_LONGER_HERE)) {
      noteAway(
        node,
        `is in the pool "${pool}" by now; comes back when its worker starts with PRETRAIN_POOL of this one`,
        Date.now(),
      );
      return false;
    }
    state.token = Math.max(state.token, token);
    Object.assign(node, info, { heard: Date.now() });
    return true;
  } catch (error) {
    // A worker that answers with a failure is there, and starting it again does not help.
    const why = failureIn(error)
      ? `answered with a failure when it was to be leased: ${messageOf(error)}; is asked again while somebody waits`
      : 'did not answer when it was to be leased; comes back when its worker starts';
    noteAway(node, why, Date.now());
    return false;
  }
}

/** Somebody waits: free what closed runs still hold, and ask nodes that were away whether they are back. */
async function lookAgain(state: PoolState): Promise<void> {
  await reclaim(state);
  const away = state.nodes.filter((node) => node.away && !node.holder);
  await Promise.all(
    away.map(async (node) => {
      if (await ping(state, node)) noteBack(node);
    }),
  );
}

/** A terminated run releases nothing by itself: whoever is closed loses its nodes and its place in the queue. */
async function reclaim(state: PoolState): Promise<void> {
  for (const holder of holdersOf(state)) {
    // Nobody to ask is no reason to take nodes from a run that may well be alive.
    const open = await onControl()
      .describeHolder(holder)
      .then((answer) => answer.open)
      .catch(() => true);
    if (!open) giveBack(state, holder);
  }
}
