/** Activities that run programs and keep checkpoints. */
import type { NodeActivities } from '../workflows/contract.js';
import { createAdmitRun } from './admit-run.js';
import { createCheckNode } from './check-node.js';
import { createConvertCheckpoint } from './convert-checkpoint.js';
import { createExportCheckpoint } from './export-checkpoint.js';
import { createFenceNode, createPingNode } from './fence-node.js';
import { createLaunchTraining } from './launch-training.js';
import { createListCheckpoints } from './list-checkpoints.js';
import type { NodeDeps } from './node-deps.js';
import { createPingDevices } from './npu/ping-devices.js';
import { createProbePeer } from './probe-peer.js';
import { createReapLeft } from './reap-left.js';
import { createRemoveCheckpoints } from './remove-checkpoints.js';
import { createReplicateCheckpoint } from './replicate-checkpoint.js';
import { createRestoreCheckpoint } from './restore-checkpoint.js';
import { createFindLeft } from './runs-left.js';
import { createSealCurves } from './seal-curves.js';
import { createFindSaves, createSealSaves } from './seal-saves.js';
import { createStopTraining } from './stop-training.js';
import { createTestPair } from './test-pair.js';
import { createWatchTraining } from './watch-training.js';

export const createProcessActivities = (deps: NodeDeps) =>
  ({
    pingNode: createPingNode(deps),
    fenceNode: createFenceNode(deps),
    admitRun: createAdmitRun(deps),
    probePeer: createProbePeer(),
    checkNode: createCheckNode(deps),
    testPair: createTestPair(deps),
    pingDevices: createPingDevices(deps),
    convertCheckpoint: createConvertCheckpoint(deps),
    launchTraining: createLaunchTraining(deps),
    watchTraining: createWatchTraining(deps),
    stopTraining: createStopTraining(deps),
    listCheckpoints: createListCheckpoints(deps),
    findSaves: createFindSaves(deps),
    sealSaves: createSealSaves(deps),
    restoreCheckpoint: createRestoreCheckpoint(deps),
    removeCheckpoints: createRemoveCheckpoints(deps),
    exportCheckpoint: createExportCheckpoint(deps),
    sealCurves: createSealCurves(deps),
    replicateCheckpoint: createReplicateCheckpoint(deps),
    findLeft: createFindLeft(deps),
    reapLeft: createReapLeft(deps),
  }) satisfies Partial<NodeActivities>;
