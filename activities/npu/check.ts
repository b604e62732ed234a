/** All checks of a node with NPUs: its devices and their network, the host, and the software of a rank. */
import { networkInterfaces } from 'node:os';
import type { CheckNodeInput } from '../../workflows/contract.js';
import type { NodeDeps } from '../node-deps.js';
import { run } from '../shell.js';
import type { Finding } from './finding.js';
import { hostFindings, readHost } from './host-facts.js';
import { interfaceFindings } from './interface-findings.js';
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
  const [devices, host, checkout, cann, missingTools] = await Promise.all([
    probeDevices(deps, input.devices, input.nodes),
    readHost(deps.root),
    readCheckout(deps.mindspeedDir),
    cannVersion(deps.env),
    missing(deps, ['make', 'g++']),
  ]);
  const versions = { ...python, ...(cann && { cann }), ...devices.versions };
  return {
    ...(devices.addresses && { deviceAddresses: devices.addresses }),
    findings: [
      ...devices.findings,
      ...hostFindings(host, input),
      ...interfaceFindings({ interfaces: interfacesHere(), address: deps.address, env: deps.env, nodes: input.nodes }),
      ...stackFindings({ ...checkout, versions, env: deps.env, missingTools }, input.release),
    ],
    versions,
  };
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
