/**
 * What differs between the two scripts that train: which files of a checkpoint are whose, what they are told, and what a
 * series is trained with. All else, from the check of a node to the next launch after a failure, is the same for both.
 */
import { outputDir, placeDcp, stepDir, stepsDir } from './dcp-shards.js';
import { fsdp2Environment, fsdp2Script } from './fsdp2.js';
import { fsdp2Identity } from './fsdp2-identity.js';
import { fsdp2Warnings } from './fsdp2-plan.js';
import { highAvailabilityEnvironment } from './high-availability.js';
import { configOf } from './hugging-face.js';
import { launchEnvironment } from './launch-environment.js';
import { trainingScript, type LaunchPlan } from './plan.js';
import { identityOf, type SeriesIdentity } from './series-identity.js';
import type { RunSpec } from './spec.js';
import { isOptimizerReadWhereWritten } from './spec-rules.js';
import { allShards, placeNodes, type NodePlace } from './topology.js';
import { warningsAbout } from './warnings.js';

export interface Backend {
  /** What each node of the gang loads and writes of a checkpoint, in node order. */
  places(spec: RunSpec): NodePlace[];
  /** Every shard of a complete checkpoint. */
  shards(spec: RunSpec): string[];
  /** Whether of a shard that it does not write a node reads the model only. */
  readsModelOnly(spec: RunSpec): boolean;
  /** Whether pretrained weights are converted, or loaded as they are published. */
  convertsWeights: boolean;
  /** The script and its arguments, the same on every node. */
  script(spec: RunSpec, plan: LaunchPlan): string[];
  /** What `config.json` of the model has to say, where the script takes the sizes from there. */
  model(spec: RunSpec): { model?: Record<string, unknown> };
  /** @param first address of the node of rank 0 */
  environment(spec: RunSpec, first: string): Record<string, string>;
  /** Whether its log says what it began from, where that is no checkpoint of the series. */
  tellsWeights: boolean;
  identity(spec: RunSpec): SeriesIdentity;
  warnings(spec: RunSpec): string[];
}

const worldOf = ({ cluster }: RunSpec): number => cluster.nodes * cluster.devicesPerNode;

const mcore: Backend = {
  places: ({ parallel, cluster }) => placeNodes(parallel, cluster.nodes, cluster.devicesPerNode),
  shards: (spec) => allShards(spec.parallel, worldOf(spec)),
  readsModelOnly: isOptimizerReadWhereWritten,
  convertsWeights: true,
  script: trainingScript,
  model: () => ({}),
  environment: (spec, first) => ({
    ...launchEnvironment(spec),
    ...highAvailabilityEnvironment(spec.train.extraArgs, first),
  }),
  tellsWeights: true,
  identity: identityOf,
  warnings: warningsAbout,
};

const fsdp2: Backend = {
  places: ({ parallel, cluster }) => placeDcp(parallel, cluster.nodes, cluster.devicesPerNode),
  shards: (spec) => fsdp2.places(spec).flatMap(({ writes }) => writes),
  readsModelOnly: () => false,
  convertsWeights: false,
  script: (spec, { tokenizer, dataPrefix, start }) => [
    ...fsdp2Script(spec, { model: tokenizer, text: dataPrefix, output: outputDir(spec.series) }),
    ...(start.from === 'checkpoint'
      ? ['--training.resume_from_checkpoint', `${stepsDir(spec.series)}/${stepDir(start.iteration)}`]
      : []),
  ],
  model: ({ sizes }) => ({ model: configOf(sizes) }),
  environment: fsdp2Environment,
  tellsWeights: false,
  identity: fsdp2Identity,
  warnings: fsdp2Warnings,
};

/** Runs that began before there was a choice name none. */
export const backendOf = ({ train }: { train: { backend?: RunSpec['train']['backend'] } }): Backend =>
  train.backend === 'fsdp2' ? fsdp2 : mcore;
