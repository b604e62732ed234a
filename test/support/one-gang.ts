/** One gang by itself, on nodes that answer as they are told. */
import { heartbeat, sleep } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import type { NodeInfo, ReplicateCheckpointInput } from '../../workflows/contract.js';
import type { GenerationInput, GenerationResult } from '../../workflows/generation-progress.js';
import { PATIENT, type FakeCluster, type FakeNode } from './fake-cluster.js';
import { until } from './until.js';

export const TOKEN = 7;

/** A gang of two stages, each node writing its own shard; the spare copies the first, node 0 the second. */
export const start = (cluster: FakeCluster, [a, b, spare]: NodeInfo[], changes: Partial<GenerationInput> = {}) => {
  const peer = ({ name }: NodeInfo) => ({ name, url: `http://${name}` });
  const input: GenerationInput = {
    ...{ run: 'run', series: 's', generation: 1, token: TOKEN, devices: 1, masterPort: 6000 },
    ...{ nodes: [a!, b!], spares: spare ? [spare] : [], script: ['pretrain_gpt.py'] },
    ...{ writes: [['mp_rank_00_000'], ['mp_rank_00_001']], startedFrom: 0, target: 20, keepCheckpoints: 2 },
    copies: {
      [a!.name]: [{ shard: 'mp_rank_00_001', from: peer(b!) }],
      ...(spare && { [spare.name]: [{ shard: 'mp_rank_00_000', from: peer(a!) }] }),
    },
    timing: { ...PATIENT, lease: '4s' },
    ...changes,
  };
  return cluster.client.workflow.start('trainGeneration', {
    ...{ workflowId: `gen-${cluster.pool}`, taskQueue: cluster.taskQueue },
    args: [input],
  });
};

export const result = (handle: WorkflowHandle) => handle.result() as Promise<GenerationResult>;
export const infos = (nodes: FakeNode[]): NodeInfo[] => nodes.map(({ info }) => info);
export const launched = (...nodes: FakeNode[]) =>
  until(() => nodes.every(({ calls }) => calls.includes('watchTraining') && calls.includes('replicateCheckpoint')));

/** Training that ends, well, when the test says so; copiers that end when all is copied, which is never here. */
export function longTraining() {
  let isOver = false;
  const over = async () => {
    for (; !isOver; await sleep(50)) heartbeat();
  };
  const watchTraining = async () => {
    await over();
    return { exitCode: 0, verdict: { outcome: 'finished' as const, lastSaved: 20 } };
  };
  const replicateCheckpoint = async ({ until: iteration }: ReplicateCheckpointInput) => {
    await over();
    return { iteration };
  };
  return { activities: { watchTraining, replicateCheckpoint }, end: () => void (isOver = true) };
}
