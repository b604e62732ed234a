/** Is this node fit to train: its tools, its disk, its copy of the programs, and whether its storage is also another's. */
import { mkdir, readdir, statfs } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Artifact, CheckNodeInput, NodeActivities, NodeReport } from '../workflows/contract.js';
import { entryPointsOf } from '../workflows/releases.js';
import { readWhole } from './artifact.js';
import { notApproved } from './entry-point.js';
import { freePort } from './free-port.js';
import { failure, reasonOf } from './failures.js';
import { fingerprint } from './fingerprint.js';
import { gigabytes } from '../workflows/gigabytes.js';
import type { NodeDeps } from './node-deps.js';
import { checkNpu, type NpuReport } from './npu/check.js';
import { describeFinding } from './npu/finding.js';
import { isProven } from './proof.js';
import { mayExportTo } from './source-roots.js';
import { findProbes, seesProbe } from './storage-probe.js';
import { step } from './step.js';
import { isPairProven } from './test-pair.js';
import { createToolVersions, type ToolVersions } from './tool-versions.js';

export const createCheckNode = (deps: NodeDeps): NodeActivities['checkNode'] => {
  const versionsFor = createToolVersions(deps);
  return (input) => step({ node: deps.name, name: 'check' }, () => check(deps, input, versionsFor));
};

async function check(deps: NodeDeps, input: CheckNodeInput, versionsFor: ToolVersions): Promise<NodeReport> {
  const { name, dataDir } = deps;
  const { freeBytes, isOutOfInodes } = await roomIn(dataDir);
  const problems = [
    ...(isOutOfInodes ? [`no inode is free in ${dataDir} (df -i): remove files there`] : []),
    ...(freeBytes < input.diskBytes
      ? [`${gigabytes(freeBytes)} free in ${dataDir}, ${gigabytes(input.diskBytes)} wanted: free space there`]
      : []),
    ...(deps.devices < input.devices
      ? [`${deps.devices} devices, ${input.devices} wanted: correct cluster.devicesPerNode or PRETRAIN_DEVICES`]
      : []),
    ...(await missingEntryPoints(deps, input)),
    ...(input.exportTo === undefined ? [] : await mayExportTo(deps, input.exportTo)),
  ];
  const [programs, python = {}] = await Promise.all([
    fingerprint(deps.mindspeedDir).catch((error: unknown) => void problems.push(reasonOf(error))),
    versionsFor(input.run).catch((error: unknown) => void problems.push(reasonOf(error))),
  ]);
  if (programs && deps.checkout && deps.checkout !== programs)
    problems.push(notApproved(deps.mindspeedDir, programs, deps.checkout));
  const { findings, versions, deviceAddresses }: NpuReport =
    deps.profile === 'npu' ? await checkNpu(deps, input, python) : { findings: [], versions: python };
  const errors = findings.filter(({ severity }) => severity === 'error');
  problems.push(...errors.map(describeFinding));
  if (problems.length)
    throw failure('EnvCheckFailed', `${name}: not fit to train: ${listed(problems)}`, {
      nonRetryable: true,
      details: { node: name, problems, findings },
    });
  return {
    name,
    hostname: hostname(),
    versions,
    warnings: findings.filter(({ severity }) => severity === 'warning'),
    freeBytes,
    clock: Date.now(),
    fingerprint: programs!,
    freePort: await freePort(deps.address),
    seesFirst: await seesProbe(deps, input.run, input.first),
    ...(input.probes && { sees: await findProbes(deps, { run: input.run, ...input.probes }, input.probes.of) }),
    ...(deviceAddresses && { deviceAddresses }),
    lacks: await lacking(deps, input.artifacts),
    ...((await isPairProven(dataDir)) && { collectivesProven: true }),
  };
}

/** What else is wrong has a line of its own, on the run's page too. */
const listed = ([first, ...others]: string[]): string => [first, ...others.map((other) => `  - ${other}`)].join('\n');

/** Of these, what is not here as it was when it was proven. */
async function lacking({ dataDir }: NodeDeps, artifacts: Artifact[]): Promise<string[]> {
  const lacks: string[] = [];
  for (const { dir, digest } of artifacts) {
    const found = await readWhole(dataDir, dir);
    if (found?.artifact.digest !== digest || !(await isProven(dataDir, found, false))) lacks.push(dir);
  }
  return lacks;
}

async function roomIn(dir: string): Promise<{ freeBytes: number; isOutOfInodes: boolean }> {
  await mkdir(dir, { recursive: true });
  const { bavail, bsize, files, ffree } = await statfs(dir);
  // File systems that make inodes as they need them have none to count.
  return { freeBytes: bavail * bsize, isOutOfInodes: files > 0 && ffree === 0 };
}

async function missingEntryPoints({ mindspeedDir }: NodeDeps, { release }: CheckNodeInput): Promise<string[]> {
  const there = await readdir(mindspeedDir).catch(() => undefined);
  if (!there) return [`the MindSpeed-LLM directory ${mindspeedDir} cannot be read: set MINDSPEED_LLM`];
  const missing = entryPointsOf(release).filter((file) => !there.includes(file));
  return missing.length
    ? [`${mindspeedDir} has no ${missing.join(', ')}: it is no checkout of MindSpeed-LLM ${release}`]
    : [];
}
