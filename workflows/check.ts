/** Are these nodes fit to train together: each by itself, all alike, and is their storage one. */
import { ApplicationFailure, log } from '@temporalio/workflow';
import { backendOf } from './backends.js';
import { onNode, type Artifact, type NodeInfo, type NodeReport, type Timing } from './contract.js';
import { hasLastGasps } from './high-availability.js';
import { contradiction, islandsOf, partlyShared, type Groups, type Islands, type PartlyShared } from './islands.js';
import { launchEnvironment } from './launch-environment.js';
import { CHECKPOINT_BYTES_A_PARAMETER, parametersOf } from './memory.js';
import type { RunSpec } from './spec.js';
import { compareStacks } from './stack-table.js';

export interface Checked {
  reports: NodeReport[];
  /** All nodes see one and the same data directory: measured, not claimed. */
  shared: boolean;
  /** Directories that some nodes share and others do not, with who does. */
  partly: PartlyShared;
  /** Nodes by the storage of their checkpoints, where some share it, or all do. */
  storages?: Groups;
  /** Who shares the storage of checkpoints with whom is known of every node, and not all do. */
  seriesApart: boolean;
}

/** Clocks that are further apart than this make logs of a failure impossible to put in order. */
const MAX_SKEW = 30_000;

/**
 * @param run whose probes the nodes look for, of the launch with this `token`
 * @param artifacts what was brought to the nodes before a launch that came earlier
 */
export async function checkNodes(
  spec: RunSpec,
  { run, token }: { run: string; token: number },
  nodes: NodeInfo[],
  timing: Timing,
  artifacts: Artifact[],
): Promise<Checked> {
  const input = {
    ...{ run, diskBytes: diskNeed(spec), devices: spec.cluster.devicesPerNode, nodes: spec.cluster.nodes },
    ...{ first: nodes[0]!.name, probes: { token, of: nodes.length }, artifacts },
    ...(spec.export?.to !== undefined && { exportTo: spec.export.to }),
    release: spec.mindspeed.release,
    ...(hasLastGasps(spec.train.extraArgs) && { lastGasps: true as const }),
    hcclPort: Number(launchEnvironment(spec)['HCCL_IF_BASE_PORT'] ?? 60_000),
  };
  const began = Date.now();
  const reports = await Promise.all(nodes.map((node) => onNode(node.name, timing).checkNode(input)));
  requireAlike(reports);
  for (const warning of backendOf(spec).warnings(spec)) log.warn(warning);
  const skew = Math.max(...reports.map(({ clock }) => clock)) - Math.min(...reports.map(({ clock }) => clock));
  // Nodes answer at different moments; only what exceeds the time that asking took can be the clocks' fault.
  if (skew > MAX_SKEW + (Date.now() - began)) log.warn('the nodes do not agree on the time', { skew });

  const islands = measuredIslands(reports, spec.cluster.sharedStorage);
  const apart = reports.filter(({ seesFirst }) => !seesFirst).map(({ name }) => name);
  const shared = nodes.length > 1 && apart.length === 0;
  if (spec.cluster.sharedStorage === true && !shared)
    throw ApplicationFailure.nonRetryable(
      `cluster.sharedStorage is true, but ${apart.join(', ') || 'there is one node, and nobody else'}${apart.length === 1 ? ' does' : ' do'} not see what ${input.first} wrote, at the same path (PRETRAIN_DATA). Set it to "auto"`,
      'EnvCheckFailed',
    );
  return {
    ...{ reports, shared, partly: islands ? partlyShared(islands) : {} },
    ...(islands?.series.some(({ length }) => length > 1) && { storages: islands.series }),
    seriesApart: islands !== undefined && islands.series.length > 1,
  };
}

/** What the nodes found of each other, directory by directory. @throws EnvCheckFailed where the run file says otherwise */
function measuredIslands(reports: NodeReport[], claim: RunSpec['cluster']['sharedStorage']): Islands | undefined {
  const measured = reports.flatMap(({ name, sees }) => (sees ? [{ name, sees }] : []));
  // Workers of an earlier version tell of the first node and one directory only.
  if (measured.length < reports.length) return undefined;
  const islands = islandsOf(measured);
  if ('problem' in islands)
    throw ApplicationFailure.nonRetryable(
      `the nodes do not agree whether they share storage: ${islands.problem}. Look at how it is mounted there, and that all mount the same`,
      'EnvCheckFailed',
    );
  const against = contradiction(claim, islands);
  if (against !== undefined)
    throw ApplicationFailure.nonRetryable(
      `cluster.sharedStorage is ${claim}, but ${against}. Set it to "auto"`,
      'EnvCheckFailed',
    );
  return islands;
}

/** What is kept, and the one that is being written. */
function diskNeed({ sizes, train }: RunSpec): number {
  const forEver = train.keepEvery === undefined ? 0 : Math.floor(train.iterations / train.keepEvery);
  return parametersOf(sizes).total * CHECKPOINT_BYTES_A_PARAMETER * (train.keepCheckpoints + 1 + forEver);
}

function requireAlike(reports: NodeReport[]): void {
  const differing = new Map<string, string>();
  for (const report of reports)
    differing.set(report.fingerprint, `${differing.get(report.fingerprint) ?? ''} ${report.name}`);
  if (differing.size > 1)
    throw ApplicationFailure.nonRetryable(
      `the MindSpeed-LLM directories differ:${[...differing].map(([print, names]) => `${names} have ${print.slice(0, 12)}`).join(',')}. Bring all nodes to the same checkout`,
      'EnvCheckFailed',
    );
  const { fatal, table } = compareStacks(reports);
  if (fatal.length)
    throw ApplicationFailure.nonRetryable(
      `the nodes differ in ${fatal.join(', ')}, and a gang of unequal members fails or trains wrongly. Bring all to the same:\n${table}`,
      'EnvCheckFailed',
    );
  if (table) log.warn(`the nodes do not have the same stack:\n${table}`);
  for (const { name, warnings = [] } of reports)
    for (const { what, why, remedy } of warnings) log.warn(`${name}: ${what}: ${why}; ${remedy}`);
}
