/** Is this node fit to train: its tools, its disk, its copy of the programs, and whether its storage is also another's. */
import { mkdir, readdir, statfs } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Artifact, CheckNodeInput, NodeActivities, NodeReport } from '../workflows/contract.js';
import { entryPointsOf } from '../workflows/releases.js';
import { readWhole } from './artifact.js';
import { freePort } from './free-port.js';
import { failure, reasonOf } from './failures.js';
import { fingerprint } from './fingerprint.js';
import { gigabytes } from '../workflows/gigabytes.js';
import type { NodeDeps } from './node-deps.js';
import { checkNpu } from './npu/check.js';
import { describeFinding } from './npu/finding.js';
import { isProven } from './proof.js';
import { run } from './shell.js';
import { seesProbe } from './storage-probe.js';
import { step } from './step.js';

const PROBE_TIMEOUT_MS = 120_000;

export const createCheckNode =
  (deps: NodeDeps): NodeActivities['checkNode'] =>
  (input) =>
    step({ node: deps.name, name: 'check' }, () => check(deps, input));

async function check(deps: NodeDeps, input: CheckNodeInput): Promise<NodeReport> {
  const { name, dataDir } = deps;
  const freeBytes = await freeSpace(dataDir);
  const problems = [
    ...(freeBytes < input.diskBytes
      ? [`${gigabytes(freeBytes)} free in ${dataDir}, ${gigabytes(input.diskBytes)} wanted: free space there`]
      : []),
    ...(deps.devices < input.devices
      ? [`${deps.devices} devices, ${input.devices} wanted: correct cluster.devicesPerNode or PRETRAIN_DEVICES`]
      : []),
    ...(await missingEntryPoints(deps, input)),
  ];
  const programs = await fingerprint(deps.mindspeedDir).catch((error: unknown) => void problems.push(reasonOf(error)));
  if (programs && deps.checkout && deps.checkout !== programs) problems.push(notApproved(deps, programs));
  const python = await toolVersions(deps).catch((error: unknown) => {
    problems.push(reasonOf(error));
    return {};
  });
  const { findings, versions } =
    deps.profile === 'npu' ? await checkNpu(deps, input, python) : { findings: [], versions: python };
  const errors = findings.filter(({ severity }) => severity === 'error');
  problems.push(...errors.map(describeFinding));
  if (problems.length)
    throw failure('EnvCheckFailed', `${name}: not fit to train: ${problems.join('; ')}`, {
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
    lacks: await lacking(deps, input.artifacts),
  };
}

/** Of these, what is not here as it was when it was proven. */
async function lacking({ dataDir }: NodeDeps, artifacts: Artifact[]): Promise<string[]> {
  const lacks: string[] = [];
  for (const { dir, digest } of artifacts) {
    const found = await readWhole(dataDir, dir);
    if (found?.artifact.digest !== digest || !(await isProven(dataDir, found, false))) lacks.push(dir);
  }
  return lacks;
}

async function freeSpace(dir: string): Promise<number> {
  await mkdir(dir, { recursive: true });
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

async function missingEntryPoints({ mindspeedDir }: NodeDeps, { release }: CheckNodeInput): Promise<string[]> {
  const there = await readdir(mindspeedDir).catch(() => undefined);
  if (!there) return [`the MindSpeed-LLM directory ${mindspeedDir} cannot be read: set MINDSPEED_LLM`];
  const missing = entryPointsOf(release).filter((file) => !there.includes(file));
  return missing.length
    ? [`${mindspeedDir} has no ${missing.join(', ')}: it is no checkout of MindSpeed-LLM ${release}`]
    : [];
}

const notApproved = ({ mindspeedDir, checkout }: NodeDeps, programs: string): string =>
  `the programs in ${mindspeedDir} are ${programs}, and PRETRAIN_CHECKOUT approves ${checkout}: bring that checkout back, or approve what is there`;

const VERSIONS = `
import json, platform, sys
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try: found[name] = __import__(name).__version__
    except Exception as error: found[name] = f"missing: {error}"
print(json.dumps(found))
`;

/** Versions of what the trainer imports. Asked of the very Python and environment that training gets. */
async function toolVersions({ name, python, profile, env, dataDir }: NodeDeps): Promise<Record<string, string>> {
  const modules = profile === 'npu' ? ['torch', 'numpy', 'torch_npu', 'transformers'] : ['torch', 'numpy'];
  const options = { env, cwd: dataDir, timeout: PROBE_TIMEOUT_MS, what: `${name}: versions` };
  const versions = JSON.parse(await run([python, '-c', VERSIONS, ...modules], options)) as Record<string, string>;
  for (const module of modules)
    if (versions[module]?.startsWith('missing'))
      throw new Error(
        `${python} cannot import ${module} (${versions[module].slice(9)}): install it, or set PRETRAIN_PYTHON`,
      );
  return { ...versions, node: process.versions.node };
}
