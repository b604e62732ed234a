/** What a node answers that has nothing to do. */
import { checkpointsDir } from '../../workflows/plan.js';
import type { NodeActivities, NodeInfo } from '../../workflows/contract.js';

/** A node on which everything is there already and training ends at once, well, but for what it is told to do otherwise. */
export function quietNode(info: NodeInfo, changes: Partial<NodeActivities> = {}): NodeActivities {
  const artifact = (dir: string) => ({ dir, digest: 'd', files: 1, bytes: 1 });
  const node: NodeActivities = {
    pingNode: () => Promise.resolve({ ...info, token: 0 }),
    probePeer: () => Promise.resolve({ reachable: false }),
    admitRun: () => Promise.resolve({ access: 'a' }),
    fenceNode: async ({ token, series }) => ({
      ...{ ...info, token },
      checkpoints: await node.listCheckpoints({ dir: checkpointsDir(series) }),
      saves: await node.findSaves({ series }),
    }),
    checkNode: ({ first }) =>
      Promise.resolve({
        ...{ name: info.name, hostname: info.name, versions: {}, freeBytes: 1e12 },
        ...{ clock: Date.now(), fingerprint: 'f', freePort: 1 },
        ...{ seesFirst: first === info.name, lacks: [] },
      }),
    testPair: () => Promise.resolve({ seconds: 0.01 }),
    pingDevices: () => Promise.resolve({ failed: [] }),
    listSource: ({ source }) => Promise.resolve({ resolved: source, files: [{ path: 'tokenizer.json', size: 1 }] }),
    fetchFiles: ({ dir }) => Promise.resolve(artifact(dir)),
    preprocessShard: ({ key }) =>
      Promise.resolve({ artifact: artifact(`datasets/${key}/shards/0`), documents: 1, tokens: 1 }),
    mergeShards: ({ key }) => Promise.resolve({ artifact: artifact(`datasets/${key}`), documents: 1, tokens: 1 }),
    findArtifact: ({ dir }) => Promise.resolve({ artifact: artifact(dir) }),
    syncFiles: ({ artifact: wanted }) => Promise.resolve(wanted),
    setAsideDamaged: () => Promise.resolve({}),
    removeParts: () => Promise.resolve({ bytes: 0 }),
    convertCheckpoint: () => Promise.resolve([]),
    listCheckpoints: () => Promise.resolve([]),
    findSaves: () => Promise.resolve({ iterations: [] }),
    sealSaves: () => Promise.resolve({ sealed: [] }),
    restoreCheckpoint: () => Promise.resolve({}),
    exportCheckpoint: ({ dir, iteration, tensors }) =>
      Promise.resolve({ node: info.name, path: `/data/${dir}`, iteration, tensors, dtypes: ['F32'], bytes: 1 }),
    sealCurves: ({ dir }) => Promise.resolve({ path: `/data/${dir}`, artifact: artifact(dir) }),
    removeCheckpoints: () => Promise.resolve({ removed: [] }),
    launchTraining: () => Promise.resolve(),
    watchTraining: () =>
      Promise.resolve({ exitCode: 0, verdict: { outcome: 'finished', lastIteration: 20, lastSaved: 20, loss: 1 } }),
    stopTraining: () => Promise.resolve({ node: info.name, confirmed: true, logPath: '/log' }),
    replicateCheckpoint: ({ until }) => Promise.resolve({ iteration: until }),
    findLeft: () => Promise.resolve({ runs: [] }),
    reapLeft: () => Promise.resolve({ runs: [], downloads: { files: 0, bytes: 0 }, failed: [] }),
    ...changes,
  };
  return node;
}
