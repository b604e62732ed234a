/**
 * What the trainer wrote here for TensorBoard, sealed so that another node can have it. Megatron's last rank writes it,
 * a file each launch, and nobody writes to one again when its launch has ended.
 */
import type { NodeActivities } from '../workflows/contract.js';
import { confined, filesBelow, sealArtifact } from './artifact.js';
import { noneIfMissing } from './atomic.js';
import type { NodeDeps } from './node-deps.js';
import { step } from './step.js';

/** `torch.utils.tensorboard` calls them `events.out.tfevents.<time>.<host>.<pid>.<n>`, and TensorBoard reads what has this in its name. */
const EVENTS = /tfevents[^/]*$/;

export const createSealCurves =
  ({ name: node, dataDir }: NodeDeps): NodeActivities['sealCurves'] =>
  ({ dir }) =>
    step({ node, name: `seal ${dir}` }, async (signal) => {
      const path = confined(dataDir, dir);
      const files = (await filesBelow(path).catch(noneIfMissing)).filter((name) => EVENTS.test(name));
      if (files.length === 0) return { path };
      return { path, artifact: await sealArtifact(dataDir, dir, files, { signal }) };
    });
