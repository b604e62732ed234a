/** What `npm run plan` prints: the placement and every node's exact commands. Pure. */
import { planCopies } from './checkpoints.js';
import type { NodeInfo, Peer } from './contract.js';
import {
  checkpointsDir,
  convertArgs,
  convertedDir,
  targetOf,
  torchrunArgs,
  trainingScript,
  type Start,
} from './plan.js';
import type { RunSpec } from './spec.js';
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
  convert?: string[];
  nodes: NodePlan[];
}

/** What only a run learns stands in angle brackets. */
const KEY = '<key>';

/** The plan of a series' first run. */
export function planRun(spec: RunSpec): RunPlan {
  const { nodes, spares, devicesPerNode: devices, sharedStorage } = spec.cluster;
  const places = placeNodes(spec.parallel, nodes, devices);
  const members = Array.from({ length: nodes }, (_, rank) => member(`node-${rank}`, devices));
  const peers = (names: NodeInfo[]): Peer[] => names.map(({ name }) => ({ name, url: '' }));
  const extra = Array.from({ length: spares }, (_, index) => member(`spare-${index}`, devices));
  const copies = planCopies(places, peers(members), peers(extra), spec.train.replicas);
  const pretrained = spec.model.init === 'pretrained';
  const start: Start = pretrained ? { from: 'pretrained', dir: convertedDir(KEY, spec) } : { from: 'random' };
  const target = targetOf(spec, 0);
  const script = trainingScript(spec, {
    ...{ start, target, shared: sharedStorage === true },
    dataPrefix: `datasets/${KEY}/prefix_${spec.dataset.trainKey ?? spec.dataset.keys[0]!}_document`,
    tokenizer: `models/${KEY}/tokenizer`,
  });
  const world = nodes * devices;
  const { tp, pp, cp } = spec.parallel;
  const none: NodePlace = { nodeRank: -1, ranks: [], loads: [], writes: [], readsDataset: false };
  return {
    series: spec.series,
    world,
    dataParallel: world / (tp * pp * cp),
    target,
    checkpoints: checkpointsDir(spec.series),
    shards: allShards(spec.parallel, world),
    ...(pretrained && {
      convert: [
        ...['python3', '$MINDSPEED_LLM/convert_ckpt_v2.py', ...convertArgs(spec)],
        ...['--load-dir', `models/${KEY}/hf`, '--save-dir', convertedDir(KEY, spec)],
      ],
    }),
    nodes: [...members, ...extra].map(({ name }, rank) => {
      const place = places[rank] ?? none;
      const torchrun = torchrunArgs(rank, members, devices, 0).map((arg, at, all) =>
        all[at - 1] === '--master_port' ? '<port>' : arg,
      );
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
          rank < nodes
            ? ['python3', '-m', 'torch.distributed.run', ...torchrun, `$MINDSPEED_LLM/${entry!}`, ...args]
            : [],
      };
    }),
  };
}

const member = (name: string, devices: number): NodeInfo => ({
  ...{ name, address: `<address of ${name}>`, port: 0, devices },
  profile: 'npu',
});

export function describePlan(plan: RunPlan, spec: RunSpec): string {
  const { tp, pp, cp, ep } = spec.parallel;
  return [
    `series ${plan.series}: ${spec.cluster.nodes} nodes × ${spec.cluster.devicesPerNode} devices = ${plan.world} ranks = tp ${tp} · pp ${pp} · cp ${cp} · dp ${plan.dataParallel}${ep > 1 ? `, ep ${ep}` : ''}`,
    `iterations: ${spec.train.iterations} in all, the first run ends at ${plan.target}; a checkpoint every ${spec.train.saveInterval} in <data>/${plan.checkpoints}: ${plan.shards.join(', ')}`,
    'Commands run in <data>. What only a run learns stands in <angle brackets>; the content keys name fetched, preprocessed and converted files.',
    ...(plan.convert ? ['', 'on the first node, once for this layout:', shellLine(plan.convert)] : []),
    ...plan.nodes.flatMap(describeNode),
  ].join('\n');
}

function describeNode({ node, ranks, stages, loads, writes, copies, readsDataset, command }: NodePlan): string[] {
  const copied = copies.length ? `; copies after each save ${copies.join(', ')}` : '';
  if (command.length === 0) return ['', `${node}: no ranks${copied}`];
  return [
    '',
    `${node}: ranks ${ranks[0]!}–${ranks.at(-1)!}, stage ${stages.join(', ')}; ${readsDataset ? 'reads the dataset' : 'reads no dataset'}; loads ${loads.join(', ')}; writes ${writes.join(', ') || 'nothing'}${copied}`,
    shellLine(command),
  ];
}

/** An argument list as a line that a shell reads back as the same list; `$MINDSPEED_LLM` is left for it to fill in. */
export const shellLine = (args: string[]): string =>
  args
    .map((arg) => (/^[\w@%+=:,./-]+$|^\$MINDSPEED_LLM\//.test(arg) ? arg : `'${arg.replaceAll("'", `'\\''`)}'`))
    .join(' ');
