/** All checks of a node with NPUs: its devices and their network, the host, and the software of a rank. */
import { networkInterfaces } from 'node:os';
import type { CheckNodeInput } from '../../workflows/contract.js';
import { reasonOf } from '../failures.js';
import type { NodeDeps } from '../node-deps.js';
import { run } from '../shell.js';
import type { Finding } from './finding.js';
import { hostFindings, readHost } from './host-facts.js';
import { interfaceFindings } from './interface-findings.js';
import { MINDIO_MODULE, mindioFindings } from './mindio-findings.js';
import { probeDevices } from './probe.js';
import { cannVersion, readCheckout, stackFindings } from './stack.js';

export interface NpuReport {
  findings: Finding[];
  versions: Record<string, string>;
  /** Of its devices, by index. */
  deviceAddresses?: (string | null)[];
}

/** `versions` are those that Python told. */
export async function checkNpu(
  deps: NodeDeps,
  input: CheckNodeInput,
  python: Record<string, string>,
): Promise<NpuReport> {
  const [devices, host, checkout, cann, missingTools, noMindio] = await Promise.all([
    probeDevices(deps, input.devices, input.nodes),
    readHost(deps.root),
    readCheckout(deps.mindspeedDir),
    cannVersion(deps.env),
    missing(deps, ['make', 'g++']),
    input.lastGasps ? unimportable(deps) : undefined,
  ]);
  const versions = { ...python, ...(cann && { cann }), ...devices.versions };
  return {
    ...(devices.addresses && { deviceAddresses: devices.addresses }),
    findings: [
      ...devices.findings,
      ...hostFindings(host, input),
      ...interfaceFindings({ interfaces: interfacesHere(), address: deps.address, env: deps.env, nodes: input.nodes }),
      ...(input.lastGasps ? mindioFindings(noMindio, host.ports, input.first === deps.name) : []),
      ...stackFindings({ ...checkout, versions, env: deps.env, missingTools }, input.release),
    ],
    versions,
  };
}

/** What Python says where it has no MindIO. */
async function unimportable({ name, env, dataDir, python }: NodeDeps): Promise<string | undefined> {
  const options = { env, cwd: dataDir, timeout: 60_000, what: `${name}: MindIO` };
  return run([python, '-c', `import ${MINDIO_MODULE}`], options).then(() => undefined, reasonOf);
}

const interfacesHere = (): Record<string, string[]> =>
  Object.fromEntries(
    Object.entries(networkInterfaces()).map(([name, found]) => [name, (found ?? []).map(({ address }) => address)]),
  );

async function missing({ name, env, dataDir }: NodeDeps, tools: string[]): Promise<string[]> {
  const options = { env, cwd: dataDir, timeout: 20_000, what: `${name}: tool chain` };
  const there = await Promise.all(
    tools.map((tool) =>
      run([tool, '--version'], options).then(
        () => true,
        () => false,
      ),
    ),
  );
  return tools.filter((_, index) => !there[index]);
}
