/** From a dataset's address to the `.bin/.idx` pair on every node: list, fetch in parts, preprocess in shards, merge, place. */
import {
  ApplicationFailure,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  patched,
  sleep,
} from '@temporalio/workflow';
import { contentKey } from './content-key.js';
import {
  onNode,
  peerOf,
  type Artifact,
  type NodeInfo,
  type PreprocessShardInput,
  type ShardResult,
  type SourceFile,
  type SourceListing,
  type Timing,
} from './contract.js';
import type { DatasetFigures } from './dataset-figures.js';
import { madeWith } from './engines.js';
import { createFetchOnce, type FetchOnce } from './fetch-once.js';
import { findBase, type Base } from './grown-data.js';
import { failureIn, messageOf, silentHolders } from './failure-chain.js';
import { prepareText } from './fsdp2-data.js';
import type { Groups, PartlyShared } from './islands.js';
import { preparationNews } from './messages.js';
import { lineagesOf, type Lineages } from './lineage.js';
import { createTurns, oneOfEach, onFirst, placeEverywhere, type Turns } from './place.js';
import {
  autoShards,
  MOST_SHARDS,
  planAtMost,
  planShards,
  shardsAtOnce,
  shardsEver,
  tooManyShards,
  wholeFiles,
  type ShardPlan,
} from './plan.js';
import { damagedDir, setAsideDamaged, type Note } from './set-aside.js';
import { shardTeller, type ShardTeller } from './shard-teller.js';
import { afterSilence, createHolders, passing } from './silent-holders.js';
import { dataOf, fetchOnFirst, listFiles, listingKey, listModel, TOKENIZER_FILES } from './sources.js';
import type { RunSpec } from './spec.js';
import { leftAfter, stillThere } from './still-there.js';

export interface PrepareDataInput {
  spec: RunSpec;
  nodes: NodeInfo[];
  timing: Timing;
  /** Before a run's first launch. Later ones make up for a failure, and do not wait for all of a dataset to be read. */
  prove?: boolean;
  /** What only some of the nodes share. */
  partly?: PartlyShared;
  /** All nodes have one storage. */
  shared?: boolean;
  /** What the run trains on already: it goes on with that, whatever its source has become. */
  known?: PreparedData;
  /** Who is told how far it is: a run, and of which launch. */
  tell?: { run: string; token: number };
  /** Digest of the programs of the checkout that all nodes have. */
  checkout?: string;
}

export interface PreparedData {
  tokenizer: Artifact;
  dataset: Artifact;
  /** Data path of the training key without `.bin`. */
  prefix: string;
  /** Stands for the bytes that are trained on; absent where nodes do not say. */
  pair?: string;
  /** Stands for what its source listed. */
  listing?: string;
  /** What a person should know of how the dataset was made; absent when it was there already. */
  warnings?: string[];
  /** Likewise, what its texts are like. */
  figures?: DatasetFigures;
}

/** Neither source says anything of the other; before, the dataset's was asked when the tokenizer was everywhere. */
const LISTED_AT_ONCE = 'both sources are listed at once';

/** Each node that made something of a file fetched it from outside. */
const FETCHED_ONCE = 'what several nodes read is fetched once';

/** Also where thousands could be. */
const AT_ONCE = 'shards that are made at once are limited';

/** Before, the next node was to have from a lost one what that had made, and tried five times. */
const MERGED_ANEW = 'shards of a node that was lost in a merge are made again first';

export const prepareData = async (input: PrepareDataInput): Promise<PreparedData> =>
  (input.spec.train.backend === 'fsdp2' ? prepareText : prepareDataset)(input);

async function prepareDataset({
  spec,
  nodes,
  timing,
  prove,
  partly = {},
  shared = false,
  known,
  tell,
  checkout,
}: PrepareDataInput): Promise<PreparedData> {
  const warnings: string[] = [];
  const note = (text: string) => (tell ? tellNote(tell, text) : Promise.resolve(void warnings.push(text)));
  const listData = () => listFiles(spec, spec.dataset.source, nodes, timing, () => true);
  const [tokenizerListing, early] = await Promise.all([
    listTokenizer(spec, nodes, timing),
    patched(LISTED_AT_ONCE) ? listData() : undefined,
  ]);
  const tokenizerDir = tokenizerAt(tokenizerListing);
  const { artifact: tokenizer } = await placeEverywhere(
    tokenizerDir,
    nodes,
    timing,
    () => fetchOnFirst(spec, tokenizerListing, tokenizerDir, nodes, timing),
    { prove, groups: partly.models, note },
  );

  const listing = dataOf(spec, early ?? (await listData()));
  const made = madeWith(spec, tokenizer.digest, checkout);
  const key = contentKey({ listing, ...made });
  // What MindSpeed-LLM does with one file may depend on the others.
  const lineages =
    spec.preprocess.engine === 'native' && !spec.preprocess.compat
      ? lineagesOf(made, spec.dataset.source, listing.files)
      : undefined;
  let figures: DatasetFigures | undefined;
  const { artifact, withParts, pairs } = await placeEverywhere(
    known?.dataset.dir ?? `datasets/${key}`,
    nodes,
    timing,
    async (answers) => {
      const base = lineages && (await findBase(answers, lineages.names, timing));
      const {
        artifact,
        at,
        pairs,
        warnings: found = [],
        ...made
      } = await preprocess(
        { spec, nodes, timing, partly, shared, ...(tell && { tell }) },
        { listing, tokenizer: tokenizerDir, key, lineages, note },
        base,
      );
      figures = made.figures;
      warnings.push(...found);
      return { artifact, at, pairs };
    },
    { prove, groups: partly.datasets, like: lineages?.like, note },
  );
  if (!spec.preprocess.keepShards)
    warnings.push(...(await removeParts(artifact.dir, oneOfEach(withParts, partly.datasets), timing)));
  const trainKey = spec.dataset.trainKey ?? spec.dataset.keys[0]!;
  const listed = known?.dataset.dir === artifact.dir ? known.listing : listingKey(listing);
  return {
    tokenizer,
    dataset: artifact,
    ...(pairs?.[trainKey] !== undefined && { pair: pairs[trainKey] }),
    ...(listed !== undefined && { listing: listed }),
    ...(warnings.length && { warnings }),
    ...(figures && { figures }),
    // As it was made, perhaps by an earlier version of this workflow.
    prefix: `${artifact.dir}/prefix_${trainKey}_document`,
  };
}

/** At once: what comes next may fail, and a person is to read why it was done. */
async function tellNote({ run, token }: { run: string; token: number }, note: string): Promise<void> {
  try {
    await getExternalWorkflowHandle(run).signal(preparationNews, { token, note });
  } catch (error) {
    log.warn('the run did not take the news', { error: String(error) });
  }
}

/** What stands for the data that the run file's source lists now; see `PreparedData.listing`. */
export const listedNow = async (spec: RunSpec, nodes: NodeInfo[], timing: Timing): Promise<string> =>
  listingKey(dataOf(spec, await listFiles(spec, spec.dataset.source, nodes, timing, () => true)));

const listTokenizer = (spec: RunSpec, nodes: NodeInfo[], timing: Timing): Promise<SourceListing> =>
  listModel(spec, spec.tokenizer.source ?? spec.model.weights!, nodes, timing, (path) => TOKENIZER_FILES.test(path));

const tokenizerAt = (listing: SourceListing): string => `models/${contentKey(listing)}/tokenizer`;

/**
 * The tokenizer on one node, where a run has it already or from its source.
 *
 * @param known where it is on the nodes that trained; its source, perhaps gone by now, need not be asked then
 */
export async function bringTokenizer(
  spec: RunSpec,
  node: NodeInfo,
  timing: Timing,
  known?: string,
): Promise<{ dir: string }> {
  if (known !== undefined && (await onNode(node.name, timing).findArtifact({ dir: known })).artifact)
    return { dir: known };
  const listing = await listTokenizer(spec, [node], timing);
  const dir = tokenizerAt(listing);
  await fetchOnFirst(spec, listing, dir, [node], timing);
  return { dir };
}

/** Only now, that every node has the whole: what it was made of would be made again from the network. */
async function removeParts(dir: string, nodes: NodeInfo[], timing: Timing): Promise<string[]> {
  const warnings: string[] = [];
  const remove = async ({ name }: NodeInfo) => {
    try {
      const { failed } = await onNode(name, timing).removeParts({ dir });
      if (failed !== undefined) warnings.push(`what it was made of is not removed on ${name}: ${failed}`);
    } catch (error) {
      if (isCancellation(error)) throw error;
      warnings.push(`what it was made of is not removed: ${messageOf(error)}`);
    }
  };
  await Promise.all(nodes.map(remove));
  return warnings.slice(0, MAX_WARNINGS);
}

const MAX_WARNINGS = 3;

interface Shard extends ShardResult {
  at: NodeInfo;
}

interface Wanted {
  listing: SourceListing;
  tokenizer: string;
  key: string;
  lineages: Lineages | undefined;
  note: Note;
}

/**
 * Shards over all nodes, merged on one. A node that is lost on the way costs its shards, which others make again.
 *
 * @param base what need not be made, since the dataset begins with it
 */
async function preprocess(
  input: PrepareDataInput,
  wanted: Wanted,
  base?: Base,
): Promise<ShardResult & { at: NodeInfo }> {
  const { spec, nodes, timing } = input;
  const { listing, tokenizer, key, lineages, note } = wanted;
  const { engine, compat, skipBadRows } = spec.preprocess;
  const files = listing.files.slice(base?.files ?? 0);
  const plans = plansOf(spec, files, nodes.length);
  const shards: (Shard | undefined)[] = plans.map(() => undefined);
  const groups = input.shared ? [nodes.map(({ name }) => name)] : input.partly?.datasets;
  const fetch: Fetch = (at, dir, some) => {
    const { tokens } = spec;
    const what = { source: listing.resolved, files: some, dir, ...(tokens && { tokens }) };
    return onNode(at.name, timing).fetchFiles(what);
  };
  const inputs = patched(FETCHED_ONCE)
    ? fetchOnceFrom(fetch, timing, groups)
    : inTurn(createTurns(input.partly?.datasets), fetch);
  const from = plans.map((plan) => `datasets/${key}/input/${contentKey(plan.files)}`);
  const teller = shardTeller(plans, shards, input.tell, Math.min(plans.length, shardsAtOnce(nodes.length)));
  let alive = nodes;
  const again = new Set<string>();
  const isAlive = ({ name }: NodeInfo) => alive.some((node) => node.name === name);
  const forgetLost = () => {
    for (const node of nodes) if (!isAlive(node)) for (const dir of from) inputs.forget(node, dir);
    for (const [index, shard] of shards.entries()) if (shard && !isAlive(shard.at)) shards[index] = undefined;
  };
  for (let silences = 0; ;) {
    const holders = base?.at.filter(isAlive);
    if (holders?.length === 0) return preprocess({ ...input, nodes: alive }, wanted);
    const begin = base && holders ? [{ artifact: base.artifact, from: holders.map(peerOf) }] : [];
    const lost = await makeMissing({ ...input, nodes: alive }, { tokenizer, key, plans, from, inputs, teller }, shards);
    const isAnew = patched(MERGED_ANEW);
    const others = alive.filter(({ name }) => !lost.has(name));
    if (isAnew && lost.size > 0 && others.length > 0) {
      alive = others;
      forgetLost();
      continue;
    }
    try {
      return await onFirst((holders ?? alive).slice(0, isAnew ? 1 : undefined), async (at) => {
        const merged = await onNode(at.name, timing).mergeShards({
          key,
          engine,
          keys: spec.dataset.keys,
          shards: [...begin, ...shards.map((shard) => ({ artifact: shard!.artifact, from: [peerOf(shard!.at)] }))],
          compat,
          skipBadRows,
          ...(isAnew && { asksHolders: true }),
          ...(lineages && { lineage: { like: lineages.like, name: lineages.names.at(-1)! } }),
        });
        return { ...merged, at };
      });
    } catch (error) {
      const damaged = damagedDir(error);
      if (damaged !== undefined && !again.has(damaged)) {
        again.add(damaged);
        if (damaged === base?.artifact.dir) {
          await note(`${damaged} is damaged where it was made: all of the dataset is made anew`);
          return preprocess({ ...input, nodes: alive }, wanted);
        }
        const index = shards.findIndex((shard) => shard!.artifact.dir === damaged);
        // Who made it may not have read it since, and would take it for sound.
        if (index >= 0 && (await setAsideDamaged(damaged, [shards[index]!.at], timing, { again: 'made', note }))) {
          shards[index] = undefined;
          continue;
        }
      }
      const before = alive.length;
      alive = isAnew ? await leftAfter(error, alive, timing) : await stillThere(alive, timing);
      const isSilence = silentHolders(error) !== undefined;
      if (alive.length === before && isSilence) {
        const next = afterSilence(++silences, true);
        if (typeof next === 'string') throw passing(error);
        await sleep(next.pauseMs);
        continue;
      }
      if (alive.length === before || alive.length === 0) throw isSilence ? passing(error) : error;
      forgetLost();
    }
  }
}

/** Before, the server ended a preparation of more, when days of work were done. */
const BOUNDED = 'shards of a dataset are so many at most';

function plansOf({ preprocess, dataset }: RunSpec, files: SourceFile[], nodes: number): ShardPlan[] {
  const { engine, shards } = preprocess;
  const count = shards === 'auto' ? autoShards(files, nodes) : shards;
  const plans = engine === 'mindspeed' ? wholeFiles(files) : planShards(files, count);
  if (plans.length <= MOST_SHARDS || !patched(BOUNDED)) return plans;
  if (engine === 'native' && shards === 'auto') return planAtMost(files, MOST_SHARDS);
  throw ApplicationFailure.nonRetryable(
    `dataset.source ${dataset.source}: ${tooManyShards(preprocess, plans.length)}`,
    'InvalidInput',
  );
}

interface ShardWork {
  tokenizer: string;
  key: string;
  plans: ShardPlan[];
  /** Where each of them has its files: several may be made of one. */
  from: string[];
  inputs: FetchOnce;
  teller: ShardTeller;
}

type Fetch = (at: NodeInfo, dir: string, files: SourceFile[]) => Promise<Artifact>;

const fetchOnceFrom = (fetch: Fetch, timing: Timing, groups: Groups | undefined): FetchOnce => {
  const outlasting = createHolders(timing);
  return createFetchOnce({
    groups,
    fetch,
    async copy(at, artifact, from, beside) {
      try {
        const peers = { from: from.map(peerOf), beside: beside.map(peerOf) };
        await outlasting((asks) => onNode(at.name, timing).syncFiles({ artifact, ...peers, ...asks }));
      } catch (error) {
        if (!isCancellation(error)) log.warn('a node did not get what another had fetched', { why: messageOf(error) });
        throw error;
      }
    },
  });
};

/** As it was: each node fetches what it reads, those that share storage one after the other. */
const inTurn = (turns: Turns, fetch: Fetch): FetchOnce => ({
  bring: async (at, dir, files) => {
    await turns(at, dir, () => fetch(at, dir, files));
  },
  forget: () => undefined,
  distance: () => 0,
});

/**
 * Every node takes the next shard as it has made one, several at a time; a shard of a lost node goes to the next node.
 *
 * @returns names of nodes that were lost
 */
async function makeMissing(
  { spec, nodes, timing }: PrepareDataInput,
  work: ShardWork,
  shards: (Shard | undefined)[],
): Promise<ReadonlySet<string>> {
  const missing = [...shards.keys()].filter((index) => !shards[index]);
  const lost = new Set<string>();
  const lane = async (first: number) => {
    const order = nodes.map((_, offset) => nodes[(first + offset) % nodes.length]!);
    const take = () => takeNearest(work, missing, order.find(({ name }) => !lost.has(name)) ?? order[0]!);
    for (let index = take(); index !== undefined; index = take()) {
      const mine = index;
      shards[mine] = await onFirst(order, (at) => makeShard({ spec, at, timing, work, index: mine, lost }), lost);
      work.teller.tell();
    }
  };
  const isLimited = shardsAtOnce(nodes.length) === shardsEver(nodes.length) || patched(AT_ONCE);
  const length = isLimited ? shardsAtOnce(nodes.length) : shardsEver(nodes.length);
  await Promise.all(Array.from({ length }, (_, index) => lane(index % nodes.length)));
  return lost;
}

/** Of what a node has already, else of what nobody fetches: so that nodes fetch different files. */
function takeNearest({ inputs, from }: ShardWork, missing: number[], at: NodeInfo): number | undefined {
  let [nearest, distance] = [0, 3];
  for (const [place, index] of missing.entries()) {
    const here = inputs.distance(at, from[index]!);
    if (here < distance) [nearest, distance] = [place, here];
    if (distance === 0) break;
  }
  return missing.splice(nearest, 1)[0];
}

interface ShardTask {
  spec: RunSpec;
  at: NodeInfo;
  timing: Timing;
  work: ShardWork;
  index: number;
  lost: ReadonlySet<string>;
}

async function makeShard({ spec, at, timing, work, index, lost }: ShardTask): Promise<Shard> {
  const { files, slice } = work.plans[index]!;
  const input = work.from[index]!;
  const node = onNode(at.name, timing);
  const fetch = () => work.inputs.bring(at, input, files, lost);
  const shard: PreprocessShardInput = {
    key: work.key,
    engine: spec.preprocess.engine,
    shard: index,
    of: work.plans.length,
    input,
    files: files.map(({ path }: SourceFile) => path),
    slice,
    tokenizer: work.tokenizer,
    keys: spec.dataset.keys,
    appendEod: spec.dataset.appendEod,
    vocabSize: spec.sizes.vocab,
    compat: spec.preprocess.compat,
    skipBadRows: spec.preprocess.skipBadRows,
  };
  const make = async (): Promise<Shard> => {
    const report = work.teller.begins(index, at.name);
    try {
      return { ...(await node.preprocessShard({ ...shard, ...(report && { report }) })), at };
    } finally {
      work.teller.ends(index);
    }
  };
  await fetch();
  try {
    return await make();
  } catch (error) {
    // The node found its copy damaged and let it go; or, on shared storage, another run was done with it and removed it.
    // Where the source itself is bad, the second attempt says so.
    if (!failureIn(error, 'DataCorrupt')) throw error;
    work.inputs.forget(at, input);
    await fetch();
    return make();
  }
}
