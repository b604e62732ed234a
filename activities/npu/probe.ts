/** Asks the driver's tools about every device: always with a time limit, since with a sick driver they hang. */
import { isIP } from 'node:net';
import { reasonOf } from '../failures.js';
import type { NodeDeps } from '../node-deps.js';
import { run } from '../shell.js';
import { isWired, parsePorts, portFindings, type Port } from './bus-ports.js';
import { chipFindings } from './chip-findings.js';
import { error, warning, type Finding } from './finding.js';
import { addressIn, parseNetwork, type DeviceNetwork } from './hccn-tool.js';
import { networkFindings } from './network-findings.js';
import {
  chipOptions,
  chipsUsed,
  parseBoard,
  parseEcc,
  parseHealth,
  parseTable,
  type Board,
  type Chip,
} from './npu-smi.js';

const TOOL_TIMEOUT_MS = 10_000;
/** Of the tools that may run at a time: the driver answers them one by one. */
const AT_ONCE = 4;

export interface DeviceReport {
  findings: Finding[];
  versions: Record<string, string>;
  /** By what `hccn_tool` calls the device; absent where it tells of none. */
  addresses?: (string | null)[];
}

type Ask = (...argv: string[]) => Promise<string>;

export async function probeDevices(deps: NodeDeps, wanted: number, nodes: number): Promise<DeviceReport> {
  const ask: Ask = (...argv) =>
    run(argv, { ...{ env: deps.env, cwd: deps.dataDir, timeout: TOOL_TIMEOUT_MS }, what: `${deps.name}: devices` });
  let table;
  try {
    table = parseTable(await ask('npu-smi', 'info'));
  } catch (failed) {
    return { findings: [noDriver(reasonOf(failed))], versions: {} };
  }
  const visible = deps.env['ASCEND_RT_VISIBLE_DEVICES'] || undefined;
  const chips = chipsUsed(table.chips, wanted, visible);
  const about = (chip: Chip, query: string) => ask('npu-smi', 'info', ...chipOptions(chip), '-t', query);
  const health = await each(chips, async (chip) =>
    chip.health === 'OK' ? undefined : parseHealth(await about(chip, 'health')),
  );
  const ecc = await each(chips, async (chip) => parseEcc(await about(chip, 'ecc')));
  const first = String(chips[0]?.npu ?? 0);
  const board: Board = await ask('npu-smi', 'info', '-i', first, '-t', 'board').then(parseBoard, () => ({}));
  const network = await askNetwork(ask, chips, nodes);
  const tls = network.devices.find((device) => device?.tls !== undefined)?.tls;
  const addresses: (string | null)[] = [];
  for (const { physical } of chips) {
    const ip = network.devices.find((device) => device?.device === physical)?.ip;
    while (addresses.length <= physical) addresses.push(null);
    if (ip !== undefined && isIP(ip)) addresses[physical] = ip;
  }
  return {
    ...(addresses.some((address) => address !== null) && { addresses }),
    findings: [
      ...chipFindings({ ...table, listed: table.chips.length, wanted, chips, visible, health, ecc, board }),
      ...networkFindings(network.devices, nodes),
      ...network.findings,
    ],
    versions: {
      ...(board.driver && { driver: board.driver }),
      ...(board.firmware && { firmware: board.firmware }),
      ...(chips[0] && { device: chips[0].name }),
      ...(tls !== undefined && { 'device TLS': tls ? 'on' : 'off' }),
    },
  };
}

/** The tool belongs to root: where it may not be run, the network is not judged. */
async function askNetwork(ask: Ask, chips: Chip[], nodes: number) {
  const [first] = chips;
  const unjudged = (what: string, why: string, remedy: string): { devices: DeviceNetwork[]; findings: Finding[] } => ({
    devices: [],
    findings: [warning({ check: 'hccn-tool', what, why: `the devices' network is not checked: ${why}`, remedy })],
  });
  if (!first) return { devices: [], findings: [] };
  const asRoot = "run the node worker as root, and with the driver's tools on PATH";
  if (first.chip === undefined) {
    if (nodes === 1) return { devices: [], findings: [] };
    try {
      return { devices: [], findings: portFindings(await portsDown(ask, chips)) };
    } catch (failed) {
      return unjudged('hccn_tool does not answer', reasonOf(failed), asRoot);
    }
  }
  const about = (device: number, ...options: string[]) => ask('hccn_tool', '-i', `${device}`, ...options, '-g');
  const unset = () => '';
  try {
    await about(first.physical, '-link');
  } catch (failed) {
    return unjudged('hccn_tool does not answer', reasonOf(failed), asRoot);
  }
  const devices = await each(chips, async ({ physical }): Promise<DeviceNetwork> => {
    const [link, health, ip, tls] = [
      await about(physical, '-link'),
      await about(physical, '-net_health').catch(unset),
      // It fails where no address is set, which is an answer.
      await about(physical, '-ip').catch(unset),
      await about(physical, '-tls').catch(unset),
    ];
    // HCCL takes IPv6 where there is no other.
    const ip6 = addressIn(ip) === undefined ? await about(physical, '-ip', '-inet6').catch(unset) : '';
    return parseNetwork(physical, { link, health, ip: ip6 || ip, tls });
  });
  return { devices, findings: [] };
}

/** Of Ascend 950. @throws Error where the tool does not answer for the first device */
async function portsDown(ask: Ask, chips: Chip[]) {
  const portsOf = async (device: number) => parsePorts(await ask('hccn_tool', '-g', '-dev_info', '-i', `${device}`));
  await portsOf(chips[0]!.physical);
  const found = await each(chips, async ({ physical: device }) => {
    const ports: Port[] = [];
    for (const one of (await portsOf(device)).filter(({ isUp }) => !isUp)) {
      const where = ['-i', `${device}`, '-u', `${one.die}`, '-p', `${one.port}`];
      const about = () => ask('hccn_tool', '-g', '-port_info', ...where).catch(() => undefined);
      if (one.type !== 'UB' || isWired(await about())) ports.push(one);
    }
    return { device, ports };
  });
  return found.flatMap((one) => one ?? []);
}

/** In order, a few at a time; what a device's tool does not answer is `undefined`. */
async function each<T>(chips: Chip[], look: (chip: Chip, index: number) => Promise<T>): Promise<(T | undefined)[]> {
  const found: (T | undefined)[] = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < chips.length; index = next++)
      found[index] = await look(chips[index]!, index).catch(() => undefined);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, chips.length) }, worker));
  return found;
}

/** Texts of the driver that say more than that it failed. */
const DRIVER: [RegExp, string, string][] = [
  [
    /-8005/,
    'the driver is not mounted here, or another container or a vNPU has the devices',
    'mount the driver and give the devices to this container',
  ],
  [
    /-8020/,
    'the devices are in use elsewhere, or LD_LIBRARY_PATH lacks the driver',
    'stop the other container, or source the environment of the driver',
  ],
  [
    /DrvMngGetConsoleLogLevel/,
    'the driver is not visible in this container',
    'mount /usr/local/Ascend/driver and the device files',
  ],
  [/did not end within/, 'with a sick driver the tool hangs', 'reboot the machine; cordon the node until it answers'],
  [
    /ENOENT|not found|exit code 127/,
    'the tool is not on PATH',
    'install the driver, or put npu-smi on the PATH of the node worker',
  ],
];

function noDriver(said: string): Finding {
  const [, why, remedy] = DRIVER.find(([text]) => text.test(said)) ?? [
    '',
    'the driver does not answer',
    'look at dmesg, and reboot the machine',
  ];
  return error({ check: 'driver', what: said, why, remedy });
}
