/** The demo's run file: what a person would write, for the demo's model, text and three nodes. */
export interface DemoSize {
  iterations: number;
  saveInterval: number;
}

export const demoRunFile = (pool: string, { iterations, saveInterval }: DemoSize): Record<string, unknown> => ({
  series: 'demo',
  model: { preset: 'qwen3-tiny', init: 'pretrained', weights: 'hf://demo/qwen3-tiny@main' },
  dataset: { source: 'hf://demo/sotu@main/data/*.parquet', keys: ['text'], appendEod: true },
  // Two stages on two nodes, so that each writes its own checkpoint shards, as a real layout over nodes does.
  cluster: { pool, nodes: 2, spares: 1, devicesPerNode: 1 },
  parallel: { tp: 1, pp: 2 },
  train: {
    iterations,
    globalBatch: 4,
    microBatch: 1,
    seqLength: 128,
    saveInterval,
    keepCheckpoints: 2,
    replicas: 1,
    extraArgs: { '--lr': '1.25e-3', '--min-lr': '1.25e-4', '--lr-warmup-fraction': '0.1', '--bf16': false },
  },
  recovery: { heartbeat: '4s', agentAway: '5s', lease: '5m', stopGrace: '5s' },
});
