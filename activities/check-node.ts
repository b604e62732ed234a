/** Is this node fit to train: its tools, its disk, its copy of the programs, and whether its storage is also another's. */
import { mkdir, readdir, readFile, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { CheckNodeInput, NodeActivities, NodeReport } from '../workflows/contract.js';
import { bytewise, confined } from './artifact.js';
import { writeFileAtomic } from './atomic.js';
import { failure, reasonOf } from './failures.js';
import type { NodeDeps } from './node-deps.js';
import { run } from './shell.js';

const ENTRY_POINTS = ['pretrain_gpt.py', 'convert_ckpt_v2.py', 'preprocess_data.py'];
const PROBE_TIMEOUT_MS = 120_000;

export const createCheckNode =
  (deps: NodeDeps): NodeActivities['checkNode'] =>
  async (input) => {
    const { name, dataDir } = deps;
    const freeBytes = await freeSpace(dataDir);
    const problems = [
      ...(freeBytes < input.diskBytes
        ? [`${gigabytes(freeBytes)} free in ${dataDir}, ${gigabytes(input.diskBytes)} wanted: free space there`]
        : []),
      ...(deps.devices < input.devices
        ? [`${deps.devices} devices, ${input.devices} wanted: correct cluster.devicesPerNode or PRETRAIN_DEVICES`]
        : []),
      ...(await missingEntryPoints(deps)),
    ];
    const versions = await toolVersions(deps).catch((error: unknown) => {
      problems.push(reasonOf(error));
      return {};
    });
    if (problems.length)
      throw failure('EnvCheckFailed', `${name} is not fit to train: ${problems.join('; ')}`, {
        nonRetryable: true,
        details: { node: name, problems },
      });
    await writeFileAtomic(join(probesDir(deps, input), name), name);
    return {
      name,
      hostname: hostname(),
      versions,
      freeBytes,
      clock: Date.now(),
      fingerprint: await fingerprint(deps.mindspeedDir),
      freePort: await freePort(deps.address),
    } satisfies NodeReport;
  };

/** Answers, and that is the whole of it. */
export const createPingNode =
  ({ name, address, port, devices, profile }: NodeDeps): NodeActivities['pingNode'] =>
  () =>
    Promise.resolve({ name, address, port, devices, profile });

export const createListProbes =
  (deps: NodeDeps): NodeActivities['listProbes'] =>
  async (input) => {
    const names = await readdir(probesDir(deps, input)).catch(() => []);
    return names.filter((name) => !name.startsWith('.')).sort(bytewise);
  };

const probesDir = ({ dataDir }: NodeDeps, { run: name }: Pick<CheckNodeInput, 'run'>): string =>
  confined(dataDir, `probes/${name}`);

async function freeSpace(dir: string): Promise<number> {
  await mkdir(dir, { recursive: true });
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

async function missingEntryPoints({ mindspeedDir }: NodeDeps): Promise<string[]> {
  const there = await readdir(mindspeedDir).catch(() => undefined);
  if (!there) return [`the MindSpeed-LLM directory ${mindspeedDir} cannot be read: set MINDSPEED_LLM`];
  const missing = ENTRY_POINTS.filter((file) => !there.includes(file));
  return missing.length
    ? [`${mindspeedDir} has no ${missing.join(', ')}: it is no MindSpeed-LLM checkout of 2.2 or later`]
    : [];
}

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
  const modules = profile === 'npu' ? ['torch', 'numpy', 'torch_npu'] : ['torch', 'numpy'];
  const options = { env, cwd: dataDir, timeout: PROBE_TIMEOUT_MS, what: `${name}: versions` };
  const versions = JSON.parse(await run([python, '-c', VERSIONS, ...modules], options)) as Record<string, string>;
  for (const module of modules)
    if (versions[module]?.startsWith('missing'))
      throw new Error(
        `${python} cannot import ${module} (${versions[module].slice(9)}): install it, or set PRETRAIN_PYTHON`,
      );
  if (profile === 'npu') versions['npu-smi'] = (await run(['npu-smi', '-v'], { ...options, timeout: 20_000 })).trim();
  return { ...versions, node: process.versions.node };
}

/** SHA-256 over names and bytes of all Python sources, so that two checkouts that differ in a line differ here. */
async function fingerprint(dir: string): Promise<string> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries
    .filter(
      (entry) =>
        entry.isFile() &&
        /\.(py|json)$/.test(entry.name) &&
        !/(^|\/)\.|node_modules|__pycache__/.test(entry.parentPath.slice(dir.length)),
    )
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .sort(bytewise);
  const hash = createHash('sha256');
  for (const file of files) hash.update(`${file}\0`).update(await readFile(join(dir, file)));
  return hash.digest('hex');
}

const freePort = (host: string): Promise<number> =>
  new Promise((done, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(0, host, () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });
