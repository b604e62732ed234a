/** After training: the newest checkpoint in Hugging Face format, made on the node that holds the most of it. */
import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import { mayExport } from './between-generations.js';
import { newestComplete, type CompleteCheckpoint, type NodeListing, type ShardSource } from './checkpoints.js';
import { onNode, type ExportedModel, type NodeInfo } from './contract.js';
import { toHuggingFace } from './convert-command.js';
import { lostNode } from './failure-chain.js';
import { configOf, ropeBaseOf, tensorsOf } from './hugging-face.js';
import { parametersOf } from './memory.js';
import { onFirst } from './place.js';
import { checkpointsDir } from './plan.js';
import { bringTokenizer } from './prepare-data.js';
import { listKeepers } from './restore.js';
import { note, show, type Run } from './run-generation.js';
import { describeExport, enterPhase } from './status.js';
import { allShards } from './topology.js';

/** In bf16; where it is more, the converter says so. */
const BYTES_A_PARAMETER = 2;

/** Nothing where none is asked for, the series is not trained to its end, or somebody decides against it. */
export async function exportModel(run: Run): Promise<ExportedModel | undefined> {
  const { spec, state, crew } = run;
  if (!spec.export || state.iteration < state.total) return undefined;
  if (!(await mayExport(run))) return undefined;
  enterPhase(state, 'export', Date.now());
  show(run);
  const nodes = [...crew.members, ...crew.spares];
  const { checkpoint, there } = await findNewest(run, nodes);
  const lost = new Set<string>();
  const order = inOrder(there, checkpoint, await withExport(run, there, checkpoint));
  const exported = await onFirst(order, (node) => exportOn(run, node, fromTheLiving(checkpoint, lost)), lost);
  state.exported = exported;
  note(run, `exported ${describeExport(exported)}`);
  return exported;
}

const dirOf = ({ spec }: Run, { iteration }: CompleteCheckpoint): string =>
  `exports/${spec.series}/iter_${String(iteration).padStart(7, '0')}`;

interface Newest {
  checkpoint: CompleteCheckpoint;
  /** Nodes of the run that answer: training needs the others no more. */
  there: NodeInfo[];
}

async function findNewest(run: Run, nodes: NodeInfo[]): Promise<Newest> {
  const { spec, state, crew } = run;
  const { parallel, cluster, recovery: timing } = spec;
  const shards = allShards(parallel, cluster.nodes * cluster.devicesPerNode);
  const dir = checkpointsDir(spec.series);
  const { keepCheckpoints: keep } = spec.train;
  const admitted = { run: workflowInfo().workflowId, series: spec.series, keep };
  const own = await listKeepers(dir, nodes, timing, admitted);
  const there = nodes.filter(({ name }) => !own.silent.some((other) => other.name === name));
  const newestOf = (listings: NodeListing[]): CompleteCheckpoint | undefined => {
    const newest = newestComplete(listings, shards);
    return newest && newest.iteration >= state.iteration ? newest : undefined;
  };
  // A run that had nothing to train holds whatever nodes were free.
  const elsewhere = async () => {
    const others = crew.keepers.filter(({ name }) => !nodes.some((node) => node.name === name));
    return (await listKeepers(dir, others, timing, admitted)).listings;
  };
  const checkpoint = newestOf(own.listings) ?? newestOf([...own.listings, ...(await elsewhere())]);
  if (checkpoint) return { checkpoint, there };
  throw ApplicationFailure.nonRetryable(
    `the checkpoint of iteration ${state.iteration} of series ${spec.series} is trained and cannot be exported: its shards are not all on nodes that answer. Bring them back and start the run again: it only exports`,
    'NoCheckpoint',
  );
}

/** Names of nodes on which an export of this iteration lies already. */
async function withExport(run: Run, nodes: NodeInfo[], checkpoint: CompleteCheckpoint): Promise<Set<string>> {
  const dir = dirOf(run, checkpoint);
  const found = await Promise.all(
    nodes.map(({ name }) =>
      onNode(name, run.spec.recovery)
        .findArtifact({ dir })
        .then(({ artifact }) => (artifact ? [name] : []))
        .catch((error: unknown) => {
          if (lostNode(error) === undefined) throw error;
          return [];
        }),
    ),
  );
  return new Set(found.flat());
}

/** Where it is made already, then where the least has to be copied to. */
function inOrder(nodes: NodeInfo[], { shards }: CompleteCheckpoint, made: Set<string>): NodeInfo[] {
  const held = ({ name }: NodeInfo) =>
    Object.values(shards).reduce(
      (sum, { bytes, from }) => sum + (from.some((peer) => peer.name === name) ? bytes : 0),
      0,
    );
  return [...nodes].sort(
    (a, b) => Number(made.has(b.name)) - Number(made.has(a.name)) || held(b) - held(a) || (a.name < b.name ? -1 : 1),
  );
}

/** Whoever was just found lost is asked for no shard that somebody else has too. */
function fromTheLiving({ iteration, shards }: CompleteCheckpoint, lost: ReadonlySet<string>): CompleteCheckpoint {
  const living = ([name, shard]: [string, ShardSource]): [string, ShardSource] => {
    const from = shard.from.filter((peer) => !lost.has(peer.name));
    return [name, from.length > 0 ? { ...shard, from } : shard];
  };
  return { iteration, shards: Object.fromEntries(Object.entries(shards).map(living)) };
}

async function exportOn(run: Run, node: NodeInfo, checkpoint: CompleteCheckpoint): Promise<ExportedModel> {
  const { spec } = run;
  const { dir: tokenizer } = await bringTokenizer(spec, node, spec.recovery, run.data?.tokenizer.dir);
  const dir = dirOf(run, checkpoint);
  return onNode(node.name, spec.recovery).exportCheckpoint({
    ...toHuggingFace(spec, `${dir}.gathered`, tokenizer),
    ...{ series: spec.series, iteration: checkpoint.iteration, shards: Object.values(checkpoint.shards) },
    ...{
      dir,
      tokenizer,
      config: configOf({ ...spec.sizes, ropeBase: ropeBaseOf(spec) }),
      tensors: tensorsOf(spec.sizes),
      sizes: spec.sizes,
    },
    modelBytes: parametersOf(spec.sizes).total * BYTES_A_PARAMETER,
    ...(spec.export?.to !== undefined && { to: spec.export.to }),
  });
}
