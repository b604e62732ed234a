/**
 * Everything before a launch that asks each node: fenced, looked through, checked, given data and weights, the newest
 * checkpoint restored. A workflow of its own, so that a run's history does not grow with its nodes.
 */
import { ApplicationFailure, getExternalWorkflowHandle, isCancellation, log, patched } from '@temporalio/workflow';
import { backendOf } from './backends.js';
import { checkNodes, type Checked } from './check.js';
import { runChild } from './child.js';
import { deviceNotes } from './device-fit.js';
import { lostNode, messageOf } from './failure-chain.js';
import { fenceAll } from './fence-all.js';
import { describeMissing, findCheckpoints, refuseToStartOver, type FoundCheckpoints } from './find-checkpoints.js';
import { describePartly } from './islands.js';
import { endGeneration, preparationNews, type PreparationNews } from './messages.js';
import type { CheckpointsRemoved } from './contract.js';
import { completeUpTo, removeListed, type Removal } from './old-checkpoints.js';
import { onSignal } from './on-signal.js';
import { isOnline, whyNotOnline } from './online-conversion.js';
import { pingDevices } from './ping-devices.js';
import { checkpointsDir, targetOf, type Start } from './plan.js';
import type { PreparationInput, Prepared } from './preparation.js';
import { listedNow, prepareData, type PrepareDataInput, type PreparedData } from './prepare-data.js';
import { bringPublished, bringWeights } from './prepare-weights.js';
import { clearCheckpoints, describeSilent, restore, restoreNewest, type RestoreTarget } from './restore.js';
import { listedThen, mayFollow } from './series.js';
import { testPairs } from './test-pairs.js';
import { setAside } from './unsealed.js';

/** Before, nobody heard of it. */
const DEVICES_ARE_TOLD = 'devices of another kind than the run file is for are told of';

export async function prepareGeneration(told: PreparationInput): Promise<Prepared> {
  const { name, spec, token } = told;
  const tell = teller(told);
  let isAskedFor = false;
  onSignal(endGeneration, (asked) => {
    if (asked.token === token) isAskedFor = asked.ending !== undefined;
  });

  // Before anything is looked at: what an earlier run of the series left may still be saving.
  const { members, spares, present, listings, groups } = await fenceAll(told);
  const all = [...members, ...spares];
  const shards = backendOf(spec).shards(spec);
  const looked: PreparationInput = { ...told, members, spares };
  const found = await findCheckpoints(looked, listings, shards, (note) => tell({ note }));
  const done = found.newest ?? 0;
  if (told.fewerThan !== undefined && done < told.replicated)
    return { outcome: 'incomplete', present, missing: describeMissing(found.listings, shards, told.replicated) };
  // A node may have been lost since the run first looked: what was seen then is not forgotten.
  const input: PreparationInput = { ...looked, replicated: Math.max(done, told.replicated) };
  let complete = completeUpTo(spec, found.listings, done, groups);
  await tell({ found: { iteration: done, complete, empty: found.empty } });
  await follow(input, found, tell);
  if (found.silent.length > 0 && done > 0)
    await tell({
      note: `${describeSilent(found.silent)} served this series and did not answer: what is newer there than iteration ${done} is not used`,
    });
  const isReached = done >= (input.target ?? targetOf(spec, input.replicated));
  if (isReached && !(await isListedAnew(input, found, tell))) return { outcome: 'reached', present };
  const brought = input.data ? [input.data.tokenizer, input.data.dataset] : [];
  const checked = await checkNodes(spec, { run: name, token }, all, spec.recovery, brought);
  const { reports, shared, partly, storages } = checked;
  const isPartly = describePartly(partly);
  if (isPartly !== undefined) await tell({ note: `storage: ${isPartly}`, isKnown: true });
  if (partly.series) {
    // Now each has looked when all had left what there is to find.
    complete = completeUpTo(spec, found.listings, done, partly.series);
    await tell({ found: { iteration: done, complete, empty: found.empty } });
  }
  if (isOnline(spec) && done === 0) refuseOnline(input, checked);
  const say = (note: string) => tell({ note, isKnown: true });
  const notes = deviceNotes(spec, reports);
  if (notes.length > 0 && patched(DEVICES_ARE_TOLD)) for (const text of notes) await say(text);
  // One node needs no network between devices.
  if (members.length > 1)
    await pingDevices({ reports, timing: spec.recovery, isFirst: input.generation === 0, note: say });
  if (spec.cluster.collectiveTest) await testPairs({ spec, token, nodes: all, reports }, say);

  const isThere = reports.every(({ lacks }) => lacks.length === 0);
  const data =
    input.data && isThere
      ? input.data
      : await bringData(input, { partly, shared, checkout: reports[0]!.fingerprint }, tell);
  const { identity, instead } = await follow(input, found, tell, data);
  if (instead) return { outcome: 'other data', present, ...instead };
  if (isReached) return { outcome: 'reached', present };
  if (input.gate || isAskedFor) return { outcome: input.gate ? 'gate' : 'asked', present };

  await tell({ phase: 'restore' });
  const aside = new Map<string, CheckpointsRemoved['aside']>();
  const removal: Removal = {
    ...{ spec, complete, note: (note) => void tell({ note }) },
    onAside: (node, there) => void aside.set(node, there),
  };
  const start = await bringCheckpoint(input, found, shards, tell, { removal, checked, data });
  return {
    ...{ outcome: 'ready', present, start, shared, partly, masterPort: reports[0]!.freePort, identity, data },
    ...(storages && { storages }),
    aside: [...aside].map(([node, there]) => ({ node, aside: there })),
  };
}

type Tell = (news: Omit<PreparationNews, 'token'>) => Promise<void>;

/** What is told has arrived before the preparation goes on: the run must not hear of its end first. */
function teller({ run, token }: PreparationInput): Tell {
  return async (news) => {
    try {
      await getExternalWorkflowHandle(run).signal(preparationNews, { token, ...news });
    } catch (error) {
      log.warn('the run did not take the news', { error: String(error) });
    }
  };
}

/** What the series is trained with from here on. Throws where the run file cannot follow on the newest checkpoint. */
async function follow(
  { spec }: PreparationInput,
  { listings, newest }: FoundCheckpoints,
  tell: Tell,
  data?: PreparedData,
) {
  const following = mayFollow(spec, listings, newest, data);
  for (const note of following.notes) await tell({ note, isKnown: true });
  return following;
}

/** Whether the source of a series that is trained to its total lists something else than it did: a run trains on, or says so. */
async function isListedAnew(
  { spec, members, target }: PreparationInput,
  { listings, newest }: FoundCheckpoints,
  tell: Tell,
): Promise<boolean> {
  const then = listedThen(listings, newest);
  // A run that trained until here has not to ask.
  if (then === undefined || target !== undefined) return false;
  try {
    return (await listedNow(spec, members, spec.recovery)) !== then;
  } catch (error) {
    if (isCancellation(error) || lostNode(error) !== undefined) throw error;
    await tell({ note: `whether the data has grown is not known: ${messageOf(error)}` });
    return false;
  }
}

/** Before a byte is fetched. @throws InvalidInput where the trainer would not convert on every node that has to have it */
function refuseOnline({ members }: PreparationInput, { reports, shared, storages }: Checked): void {
  const nodes = reports.filter(({ name }) => members.some((member) => member.name === name));
  const why = whyNotOnline({ nodes, shared, groups: storages });
  if (why === undefined) return;
  throw ApplicationFailure.nonRetryable(
    `model.convert: expected "offline" on these nodes, got "online": ${why}`,
    'InvalidInput',
  );
}

async function bringData(
  { run, spec, token, members, spares, generation, data: known }: PreparationInput,
  found: Pick<PrepareDataInput, 'partly' | 'shared' | 'checkout'>,
  tell: Tell,
) {
  const input = {
    ...{ spec, nodes: [...members, ...spares], timing: spec.recovery, prove: generation === 0 },
    ...{ ...found, tell: { run, token }, ...(known && { known }) },
  };
  await tell({ phase: 'data' });
  const child = { workflowId: `${run}/data`, input, summary: `dataset ${spec.dataset.source}` };
  const {
    warnings = [],
    figures,
    ...data
  } = await runChild(prepareData, child, (what) => void tell({ waitsFor: what ?? null }));
  if (figures) await tell({ dataset: figures });
  for (const warning of warnings) await tell({ note: `dataset: ${warning}` });
  return data;
}

/** Before, nodes that all share one storage brought the same shards to the same place at the same time. */
const ONE_OF_ALL = 'where all share, one node brings a shard';

/** Every member has what it loads afterwards, and nothing newer beside it. */
async function bringCheckpoint(
  input: PreparationInput,
  found: FoundCheckpoints,
  shards: string[],
  tell: Tell,
  {
    removal,
    checked: { partly, storages, seriesApart },
    data,
  }: { removal: Removal; checked: Checked; data: PreparedData },
): Promise<Start> {
  const { spec, members, spares, generation, replicated } = input;
  const { series, recovery: timing } = spec;
  const all = [...members, ...spares];
  const backend = backendOf(spec);
  const places = backend.places(spec);
  const groups = storages && !partly.series && patched(ONE_OF_ALL) ? storages : partly.series;
  const target: RestoreTarget = {
    dir: checkpointsDir(series),
    ...{ members, spares, places, timing, setAsideNewer: true, onAside: removal.onAside, groups },
    ...(seriesApart && backend.readsModelOnly(spec) && { copies: spec.train.replicas + 1 }),
  };
  const restored = await restoreNewest(target, found.listings, shards);
  const own = found.listings.filter(({ peer }) => all.some(({ name }) => name === peer.name));
  const aside = setAside(own, restored);
  if (aside) await tell({ note: aside });
  const complete = removal.complete.filter(({ iteration }) => iteration <= restored);
  await removeListed({ ...removal, complete }, found.listings);
  if (restored > 0) return { from: 'checkpoint', iteration: restored };
  refuseToStartOver({ series, generation, replicated }, found);
  await clearCheckpoints(target);
  if (spec.model.init !== 'pretrained') return { from: 'random' };
  if (!backend.convertsWeights) return { from: 'pretrained', dir: data.tokenizer.dir };
  await tell({ phase: 'weights' });
  if (isOnline(spec)) {
    const published = { spec, nodes: members, timing, note: (note: string) => tell({ note }) };
    const dir = await bringPublished(published, { prove: generation === 0, groups: partly.models });
    return { from: 'pretrained', dir, online: true };
  }
  const needed = { spec, shards, nodes: all, timing, note: (note: string) => tell({ note }) };
  const dir = await bringWeights(needed, (dir, weights) =>
    restore({ ...target, dir, setAsideNewer: false, groups: partly.models }, weights),
  );
  return { from: 'pretrained', dir };
}
