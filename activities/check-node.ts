/** Is this node fit to train: its tools, its disk, its copy of the programs, and whether its storage is also another's. */
import { mkdir, readdir, readFile, realpath, rm, rmdir, stat, statfs } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { CheckNodeInput, NodeActivities, NodeReport } from '../workflows/contract.js';
import { entryPointsOf } from '../workflows/releases.js';
import { bytewise, confined } from './artifact.js';
import { readIfThere, writeFileAtomic } from './atomic.js';
import { freePort } from './free-port.js';
import { failure, reasonOf } from './failures.js';
import type { NodeDeps } from './node-deps.js';
import { checkNpu } from './npu/check.js';
import { describeFinding } from './npu/finding.js';
import { gigabytes, step } from './step.js';
import { createToolVersions, type ToolVersions } from './tool-versions.js';

/** Where trainers keep their index cache, whether one may rely on another's being the question. */
const PROBES = 'datasets/.probes';
/** Other runs may be looking at theirs. */
const PROBE_KEPT_MS = 3_600_000;

export const createCheckNode = (deps: NodeDeps): NodeActivities['checkNode'] => {
  const versionsFor = createToolVersions(deps);
  return (input) => step({ node: deps.name, name: 'check' }, () => check(deps, input, versionsFor));
};

async function check(deps: NodeDeps, input: CheckNodeInput, versionsFor: ToolVersions): Promise<NodeReport> {
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
  const python = await versionsFor(input.run).catch((error: unknown) => {
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
  await writeFileAtomic(join(probesDir(deps, input), name), dataDir);
  return {
    name,
    hostname: hostname(),
    versions,
    warnings: findings.filter(({ severity }) => severity === 'warning'),
    freeBytes,
    clock: Date.now(),
    fingerprint: await fingerprint(deps.mindspeedDir),
    freePort: await freePort(deps.address),
  };
}

/** Also takes away this node's probes of other runs: what they had to tell is told. */
export const createListProbes =
  (deps: NodeDeps): NodeActivities['listProbes'] =>
  (input) =>
    step({ node: deps.name, name: 'list probes' }, async () => {
      const { dataDir } = deps;
      const names = await readdir(probesDir(deps, input)).catch(() => []);
      const runs = await readdir(join(dataDir, PROBES)).catch(() => []);
      for (const other of runs.filter((run) => run !== input.run)) await removeOld(join(dataDir, PROBES, other), deps);
      const probes = names.filter((name) => !name.startsWith('.')).sort(bytewise);
      const paths = await Promise.all(probes.map((name) => readIfThere(join(probesDir(deps, input), name))));
      return probes.filter((_, index) => paths[index]?.toString('utf8') === dataDir);
    });

async function removeOld(dir: string, { name }: NodeDeps): Promise<void> {
  const about = await stat(join(dir, name)).catch(() => undefined);
  if (!about || Date.now() - about.mtimeMs < PROBE_KEPT_MS) return;
  await rm(join(dir, name), { force: true });
  // The last one to go takes the directory along.
  await rmdir(dir).catch(() => undefined);
}

const probesDir = ({ dataDir }: NodeDeps, { run: name }: Pick<CheckNodeInput, 'run'>): string =>
  confined(dataDir, `${PROBES}/${name}`);

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

/** Not programs, though they may lie in a checkout: data, weights and what runs have left there. */
const NO_SOURCES = /^(\..*|node_modules|__pycache__|logs|dataset|ckpt|model_from_hf|model_weights|kernel_meta)$/;
const LARGEST_SOURCE = 2 ** 20;

/** SHA-256 over names and bytes of all Python sources, so that two checkouts that differ in a line differ here. */
async function fingerprint(dir: string): Promise<string> {
  const hash = createHash('sha256');
  for (const file of (await sourcesIn(dir, '', new Set())).sort(bytewise))
    hash.update(`${file}\0`).update(await readFile(join(dir, file)));
  return hash.digest('hex');
}

/** Links are followed, since Megatron's folder may be linked into the checkout; but none in a circle. */
async function sourcesIn(root: string, below: string, seen: Set<string>): Promise<string[]> {
  const real = await realpath(join(root, below));
  if (seen.has(real)) return [];
  const found: string[] = [];
  for (const name of await readdir(real)) {
    const path = below === '' ? name : `${below}/${name}`;
    const about = NO_SOURCES.test(name) ? undefined : await stat(join(root, path)).catch(() => undefined);
    if (about?.isDirectory()) found.push(...(await sourcesIn(root, path, new Set([...seen, real]))));
    else if (about?.isFile() && /\.(py|json)$/.test(name) && about.size <= LARGEST_SOURCE) found.push(path);
  }
  return found;
}
