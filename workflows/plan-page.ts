/** What `npm run plan` prints: the placement and every node's exact commands. Pure. */
import { planCopies } from './checkpoints.js';
import type { NodeInfo, Peer } from './contract.js';
import { convertedDir, toHuggingFace, toMegatron, type Conversion } from './convert-command.js';
import { describeLimits, failureLimits } from './failure-limits.js';
import { describeFewer } from './fewer-nodes.js';
import { highAvailabilityEnvironment } from './high-availability.js';
import { launchEnvironment } from './launch-environment.js';
import { isOnline, ONLINE } from './online-conversion.js';
import { checkpointsDir, targetOf, torchrunArgs, torchrunEntry, trainingScript, type Start } from './plan.js';
import { adviseSaves, describeAdvice, shortGrace, type SaveAdvice } from './save-interval.js';
import { shellLine } from './shell-line.js';
import { fitOf, whyNotFewerNodes } from './spec-rules.js';
import type { RunSpec } from './spec.js';
import { warningsAbout } from './warnings.js';
import { allShards, placeNodes, type NodePlace } from './topology.js';

export interface NodePlan {
  node: string;
  ranks: number[];
  stages: number[];
  loads: string[];
  writes: string[];
  copies: string[];
  readsDataset: boolean;
  command: string[];
}

export interface RunPlan {
  series: string;
  world: number;
  dataParallel: number;
  target: number;
  checkpoints: string;
  shards: string[];
  /** To Megatron before the first launch, and to Hugging Face afterwards. */
  convert?: string[];
  /** Where the trainer of each node finds the published weights that it converts itself. */
  published?: string;
  export: string[];
  /** Directory of `$DATA/export` that the exported model is in, where it is not that itself. */
  exportWithin?: string;
  /** Environment of every node's command. */
  env: Record<string, string>;
  warnings: string[];
  saves: SaveAdvice;
  nodes: NodePlan[];
}

/** What only a run learns stands as a shell variable, so that a line can be pasted. */
const VARIABLES: Record<string, string> = {
  MINDSPEED_LLM: "the node's MindSpeed-LLM directory",
  MASTER_ADDR: 'the address of node-0',
  MASTER_PORT: 'a free port of node-0',
  NIC: "the interface that carries the node's address",
  DATASET: 'content key of the preprocessed dataset, below <data>/datasets',
  TOKENIZER: 'content key of the tokenizer, below <data>/models',
};
const WEIGHTS: Record<string, string> = { WEIGHTS: 'content key of the fetched weights, below <data>/models' };

/** The plan of a series' first run. */
export function planRun(spec: RunSpec): RunPlan {
  const { nodes, spares, devicesPerNode: devices, sharedStorage } = spec.cluster;
  const places = placeNodes(spec.parallel, nodes, devices);
  const members = Array.from({ length: nodes }, (_, rank) => member(`node-${rank}`, devices));
  const peers = (names: NodeInfo[]): Peer[] => names.map(({ name }) => ({ name, url: '' }));
  const extra = Array.from({ length: spares }, (_, index) => member(`spare-${index}`, devices));
  // On one storage there is nobody to keep a copy.
  const storages = sharedStorage === true ? [[...members, ...extra].map(({ name }) => name)] : undefined;
  const copies = planCopies(places, peers(members), peers(extra), spec.train.replicas, storages);
  const pretrained = spec.model.init === 'pretrained';
  const online = isOnline(spec);
  const start = startOf(spec);
  const target = targetOf(spec, 0);
  const script = trainingScript(spec, {
    ...{ start, target, shared: sharedStorage === true },
    dataPrefix: `datasets/$DATASET/prefix_${spec.dataset.trainKey ?? spec.dataset.keys[0]!}_document`,
    tokenizer: 'models/$TOKENIZER/tokenizer',
  });
  const world = nodes * devices;
  const { tp, pp, cp } = spec.parallel;
  const saves = adviseSaves(spec, places, allShards(spec.parallel, world).length);
  const back = toHuggingFace(spec, checkpointsDir(spec.series), 'models/$TOKENIZER/tokenizer');
  const none: NodePlace = { nodeRank: -1, ranks: [], loads: [], writes: [], readsDataset: false };
  return {
    series: spec.series,
    world,
    dataParallel: world / (tp * pp * cp),
    target,
    checkpoints: checkpointsDir(spec.series),
    shards: allShards(spec.parallel, world),
    ...(online && { published: PUBLISHED }),
    ...(pretrained &&
      !online && {
        convert: converting(toMegatron(spec, PUBLISHED), convertedDir('$WEIGHTS', spec)),
      }),
    export: converting(back, 'export'),
    ...(back.within !== undefined && { exportWithin: back.within }),
    env: {
      ...launchEnvironment(spec),
      ...highAvailabilityEnvironment(spec.train.extraArgs, '$MASTER_ADDR'),
      ...{ GLOO_SOCKET_IFNAME: '$NIC', HCCL_SOCKET_IFNAME: '=$NIC' },
    },
    warnings: [...warningsAbout(spec), ...shortGrace(spec, saves)],
    saves,
    nodes: [...members, ...extra].map(({ name }, rank) => {
      const place = places[rank] ?? none;
      const torchrun = torchrunArgs(rank, members, devices, '$MASTER_PORT');
      const [entry, ...args] = script;
      return {
        node: name,
        ranks: place.ranks.map((r) => r.rank),
        stages: [...new Set(place.ranks.map((r) => r.pp))],
        loads: place.loads,
        writes: place.writes,
        copies: (copies[name] ?? []).map(({ shard, from }) => `${shard} of ${from.name}`),
        readsDataset: place.readsDataset,
        command:
          rank < nodes ? ['python3', ...torchrunEntry(script), ...torchrun, `$MINDSPEED_LLM/${entry!}`, ...args] : [],
      };
    }),
  };
}

const PUBLISHED = 'models/$WEIGHTS/hf';

function startOf(spec: RunSpec): Start {
  if (spec.model.init !== 'pretrained') return { from: 'random' };
  if (isOnline(spec)) return { from: 'pretrained', dir: PUBLISHED, online: true };
  return { from: 'pretrained', dir: convertedDir('$WEIGHTS', spec) };
}

/** The converter wants to be started in its own directory. */
const converting = ({ script, args, paths }: Conversion, to: string): string[] => [
  ...['python3', script, ...args],
  ...Object.entries({ ...paths, '--save-dir': to }).flatMap(([flag, path]) => [flag, `$DATA/${path}`]),
];

const member = (name: string, devices: number): NodeInfo => ({
  ...{ name, address: '$MASTER_ADDR', port: 0, devices },
  profile: 'npu',
});

export function describePlan(plan: RunPlan, spec: RunSpec): string {
  const { tp, pp, cp, ep } = spec.parallel;
  return [
    `series ${plan.series}: ${spec.cluster.nodes} nodes × ${spec.cluster.devicesPerNode} devices = ${plan.world} ranks = tp ${tp} · pp ${pp} · cp ${cp} · dp ${plan.dataParallel}${ep > 1 ? `, ep ${ep}` : ''}`,
    `iterations: ${spec.train.iterations} in all, the first run ends at ${plan.target}; a checkpoint every ${spec.train.saveInterval} in <data>/${plan.checkpoints}: ${plan.shards.join(', ')}`,
    describeAdvice(plan.saves),
    describeLimits(failureLimits(spec.recovery, plan.world)),
    describeFewer(fitOf(spec), spec.recovery.fewerNodes, whyNotFewerNodes(spec)),
    ...plan.warnings.map((warning) => `warning: ${warning}`),
    '',
    'Once in a shell, with the values of that node:',
    ...Object.entries({
      DATA: "the node's data directory",
      ...VARIABLES,
      ...((plan.convert ?? plan.published) && WEIGHTS),
    }).map(([name, what]) => `export ${name}=…  # ${what}`),
    '# with NPUs also: source set_env.sh of CANN (/usr/local/Ascend/cann), then of nnal (/usr/local/Ascend/nnal/atb)',
    ...(plan.convert ? ['', 'on the first node, once for this layout:', convertLine(plan.convert)] : []),
    ...(plan.convert && spec.cluster.nodes > 1 && spec.cluster.sharedStorage !== true
      ? [
          `then to every other node, from ${plan.convert.at(-1)!}: latest_checkpointed_iteration.txt, and of iter_0000001 the shards that it loads. Where they are missing all nodes wait for their time-out`,
        ]
      : []),
    ...(plan.published
      ? [
          '',
          `on every node: the published config.json and *.safetensors in $DATA/${plan.published}. The lines below convert them before they train; who goes on from a checkpoint gives no ${ONLINE}, --finetune or --no-load-*, and --load as --save`,
        ]
      : []),
    ...plan.nodes.flatMap((node) => describeNode(node, plan.env)),
    '',
    `afterwards, where all shards are, back to Hugging Face format${plan.exportWithin ? ` ($DATA/export has the model's config.json before, and the model in ${plan.exportWithin} after)` : ''}:`,
    convertLine(plan.export),
  ].join('\n');
}

const convertLine = (command: string[]) => `cd "$MINDSPEED_LLM" && ${line(command)}`;

function describeNode(plan: NodePlan, env: Record<string, string>): string[] {
  const { node, ranks, stages, loads, writes, copies, readsDataset, command } = plan;
  const copied = copies.length ? `; copies after each save ${copies.join(', ')}` : '';
  if (command.length === 0) return ['', `${node}: no ranks${copied}`];
  return [
    '',
    `${node}: ranks ${ranks[0]!}–${ranks.at(-1)!}, stage ${stages.join(', ')}; ${readsDataset ? 'reads the dataset' : 'reads no dataset'}; loads ${loads.join(', ')}; writes ${writes.join(', ') || 'nothing'}${copied}`,
    `cd "$DATA" && env ${line(Object.entries(env).map(([name, value]) => `${name}=${value}`))} \\`,
    `  ${line(command)}`,
  ];
}

const line = (args: string[]): string => shellLine(args, ['DATA', ...Object.keys({ ...VARIABLES, ...WEIGHTS })]);
