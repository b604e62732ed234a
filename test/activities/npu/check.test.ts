/** Node checks on machines with NPUs, well and sick, against recorded tools. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { createCheckNode } from '../../../activities/check-node.js';
import { ascendEnvironment } from '../../../activities/npu/environment.js';
import { hostFindings, portsIn, softLimit } from '../../../activities/npu/host-facts.js';
import { interfaceFindings, takenBy } from '../../../activities/npu/interface-findings.js';
import { mindioFindings } from '../../../activities/npu/mindio-findings.js';
import { parseEcc, parseTable } from '../../../activities/npu/npu-smi.js';
import type { NodeDeps } from '../../../activities/node-deps.js';
import type { Finding } from '../../../workflows/contract.js';
import { compareStacks } from '../../../workflows/stack-table.js';
import { machineText, npuNode } from '../../support/npu-machine.js';
import { tempDir } from '../../support/temp-dir.js';
import { run } from '../../support/test-node.js';

const input = {
  ...{ run: 'r', diskBytes: 1, nodes: 2, release: '26.0.0' as const, hcclPort: 60_000 },
  ...{ first: 'n1', artifacts: [] },
};
const check = (deps: NodeDeps, more = {}) => run(createCheckNode(deps), { ...input, devices: deps.devices, ...more });

describe('a machine that is well', () => {
  it.each([
    ['a2', 8, '24.1.1', '910B3'],
    ['a3', 16, '25.3.0', 'Ascend910'],
    ['ipv6', 8, '24.1.1', '910B3'],
  ])('%s with %d devices is fit, without a warning, and tells its stack', async (machine, devices, driver, device) => {
    const report = await check(await npuNode(machine, devices));
    expect(report.warnings).toEqual([]);
    expect(report.versions).toMatchObject({
      ...{ driver, device, cann: '9.0.0', torch: '2.7.1+cpu', torch_npu: '2.7.1.post4', transformers: '4.57.1' },
      'device TLS': 'off',
    });
  });

  it('of Ascend 950 is fit, though ports that nobody wired are down', async () => {
    const deps = await npuNode('a950', 8);
    const { warnings, versions, deviceAddresses } = await check(deps);
    expect(versions).toMatchObject({ device: 'Ascend950PR' });
    expect(deviceAddresses).toBeUndefined();
    expect(warnings).toEqual([]);
  });
});

describe('a part of the devices', () => {
  it('is asked about by its numbers on the machine, where a container has only those', async () => {
    const { message } = (await check(await npuNode('upper-half', 4)).catch((error: unknown) => error)) as Error;
    expect(message).toMatch(/not fit to train: device 6: its network link is DOWN.*hccn_tool -i 6 -optical -g/);
    expect(message).not.toContain('device 2');
  });

  it('is all that is looked at: another job may have the rest', async () => {
    const busy = await npuNode('leftover-ranks', 8);
    const half = { ...busy, env: { ...busy.env, ASCEND_RT_VISIBLE_DEVICES: '4,5,6,7' } };
    const { warnings, deviceAddresses } = await check(half, { devices: 4 });
    expect(warnings).toEqual([]);
    expect(deviceAddresses).toEqual([null, null, null, null, ...[4, 5, 6, 7].map((device) => `10.20.0.1${device}`)]);
    await expect(check(busy, { devices: 1 })).rejects.toThrow(/31337/);
    await expect(check(half, { devices: 8 })).rejects.toThrow(
      /lists 8 devices, 4 of them visible \(ASCEND_RT_VISIBLE_DEVICES=4,5,6,7\), 8 wanted/,
    );
  });
});

/** Machine, devices wanted, what is found, what to do about it. */
type Sick = [machine: string, devices: number, found: RegExp, remedy: RegExp];

const STOPS: Sick[] = [
  ['driver-not-mounted', 8, /-8005: the driver is not mounted here/, /mount the driver/],
  ['devices-elsewhere', 8, /-8020: the devices are in use elsewhere/, /stop the other container/],
  ['driver-invisible', 8, /DrvMngGetConsoleLogLevel failed/, /mount \/usr\/local\/Ascend\/driver/],
  ['driver-hangs', 8, /did not end within 10 s.*: with a sick driver the tool hangs/, /reboot the machine/],
  ['device-lost', 8, /npu-smi lists 7 devices, 8 wanted/, /npu-smi info -m/],
  ['die-lost', 16, /npu-smi lists 15 devices, 16 wanted/, /reboot the machine/],
  ['memory-32gb', 8, /device 0 \(910B4\) has 32768 MB of HBM/, /use another machine/],
  ['firmware-old', 8, /driver 24\.1\.1 and firmware 7\.1\.0\.3\.220 do not go together/, /install the firmware/],
  ['ecc-error-code', 8, /device 3 has had 1 double-bit errors/, /reset the device or reboot/],
  [
    'isolated-rows',
    8,
    /device 5 reports 80E18402 \(64 rows of HBM are isolated\): level SeparateNPU/,
    /replace the device/,
  ],
  ['needs-reset', 8, /device 0 reports 80FA4E00: level RestartNPU/, /npu-smi set -t reset -i 0 -c 0/],
  ['unknown-code', 8, /device 2 reports 8DEADBE0: a code that is not in the list/, /look it up/],
  ['state-unknown', 8, /device 6 is in state UNKNOWN/, /npu-smi info -i 6 -c 0 -t health/],
  ['double-bit', 8, /device 4 has had 2 double-bit errors/, /have it replaced if it comes back/],
  ['pages-isolated', 16, /device 7 has isolated 64 pages/, /have the device replaced/],
  ['leftover-ranks', 8, /device 0 is in use by process 31337 \(python3\.10\) with 41873 MB/, /kill 31337/],
  ['other-container', 8, /device 2 is in use by process 4711, of another container/, /stop the container/],
  ['a950-sick', 8, /device 3 reports 80E18402 .*: level SeparateNPU/, /replace the device/],
  ['memory-held', 8, /device 6 has 38211 MB of HBM in use, and no process/, /reset the device/],
  ['link-down', 8, /device 1: its network link is DOWN/, /hccn_tool -i 1 -optical -g/],
  ['network-unreachable', 16, /device 12: network health is "Unreachable"/, /detect address/],
  ['no-device-ip', 8, /device 7 has no IP address/, /hccn_tool -i 7 -ip -s/],
  ['same-device-ip', 8, /more than one device has the address 10\.20\.0\.10/, /hccn\.conf/],
  ['tls-mixed', 8, /TLS is on for devices 2 and off for 0, 1, 3/, /-tls -s enable 0/],
  ['hccl-ports-taken', 8, /ports 60004, 60005 of HCCL's 60000–60031 are in use/, /ss -tlnp 'sport = :60004'/],
  ['device-port-taken', 8, /port 16666 is in use/, /ranks of an earlier run/],
  [
    'transformers-older',
    8,
    /transformers is 4\.51\.3, the checkout's requirements\.txt wants 4\.57\.1/,
    /pip install transformers==4\.57\.1/,
  ],
  ['torch-npu-missing', 8, /cannot import torch_npu \(libhccl\.so: cannot open/, /PRETRAIN_PYTHON/],
  ['no-compiler', 8, /there is no g\+\+/, /install make and g\+\+/],
  ['no-megatron', 8, /the checkout has no megatron\/core/, /megatron folder of core_v0\.12\.1/],
];
const WARNS: Sick[] = [
  ['torch-older', 8, /torch is 2\.6\.0\+cpu/, /set mindspeed\.release/],
  ['hccn-not-root', 8, /hccn_tool does not answer/, /as root/],
  ['a950-not-root', 8, /hccn_tool does not answer/, /as root/],
  [
    'a950-port-down',
    8,
    /device 3: of the bus between devices ports 1\/8, 1\/9 are DOWN \(die\/port\), though wired/,
    /hccn_tool -g -optical -i 3 -u 1 -p 8/,
  ],
  ['a950-port-down', 8, /device 5: of its network port 0\/4 is DOWN/, /-optical -i 5 -u 0 -p 4/],
  [
    'host-untuned',
    8,
    /HCCL's ports 60000–60031 are in the range .*\(32768–60999\)/,
    /ip_local_reserved_ports=60000-60031/,
  ],
  ['host-untuned', 8, /a process may open 1024 files/, /ulimit -n 65536/],
];

describe('a sick machine', () => {
  it.each(STOPS)('%s stops the run and says what to do', async (machine, devices, found, remedy) => {
    const refused = await check(await npuNode(machine, devices)).catch((error: unknown) => error);
    expect(refused).toMatchObject({ type: 'EnvCheckFailed', nonRetryable: true });
    const { message, details } = refused as { message: string; details: [{ findings: Finding[] }] };
    expect(message).toMatch(new RegExp(`^${machine}: not fit to train: `));
    expect(message).toMatch(found);
    expect(message).toMatch(remedy);
    // Nothing else is wrong with it.
    const errors = details[0].findings.filter(({ severity }) => severity === 'error');
    expect(new Set(errors.map((error) => error.check)).size).toBeLessThanOrEqual(1);
  });

  it.each(WARNS)('%s warns and trains all the same', async (machine, devices, found, remedy) => {
    const { warnings } = await check(await npuNode(machine, devices));
    const about = warnings!.find(({ what }) => found.test(what));
    expect(about?.remedy).toMatch(remedy);
  });

  it('says all that is wrong in one answer', async () => {
    const deps = await npuNode('leftover-ranks', 8);
    const bare = { ...deps, env: { ...deps.env, ASCEND_HOME_PATH: '', ATB_HOME_PATH: '' } };
    const { message } = (await check(bare, { devices: 9 }).catch((error: unknown) => error)) as Error;
    for (const part of ['8 devices, 9 wanted', '31337', '31338', "CANN's environment", 'nnal'])
      expect(message).toContain(part);
  });

  it('lacks MindIO, or its port, where ranks are to have last gasps, and else does not need it', async () => {
    const deps = await npuNode('no-mindio', 8);
    expect((await check(deps)).warnings).toEqual([]);
    const { message } = (await check(deps, { lastGasps: true, first: deps.name }).catch(
      (error: unknown) => error,
    )) as Error;
    expect(message).toMatch(
      /cannot import mindio_ttp\.framework_ttp \(.*No module named 'mindio_ttp'.*install the mindio_ttp/,
    );
    expect(message).toMatch(/port 8000 is in use.*ss -tlnp 'sport = :8000'/);
    expect(mindioFindings(undefined, new Set([8000]), false)).toEqual([]);
  });

  it('without a driver says that the tool is missing', async () => {
    const deps = await npuNode('a2', 8);
    const { message } = (await check({ ...deps, env: { ...deps.env, PATH: '/usr/bin:/bin' } }).catch(
      (error: unknown) => error,
    )) as Error;
    expect(message).toMatch(/npu-smi .*: the tool is not on PATH; install the driver/);
  });

  it('alone needs no network', async () => {
    const { warnings } = await check(await npuNode('link-down', 8), { nodes: 1 });
    expect(warnings).toEqual([expect.objectContaining({ check: 'link', severity: 'warning' })]);
  });
});

describe('the table of npu-smi', () => {
  it('counts chips, not cards, and does not take processes for devices', () => {
    const { chips, processes } = parseTable(machineText('a3', 'info'));
    expect([chips.length, processes]).toEqual([16, []]);
    expect(chips[5]).toEqual({
      ...{ npu: 2, chip: 1, physical: 5, name: 'Ascend910', health: 'OK' },
      ...{ hbmUsedMb: 3117, hbmTotalMb: 65_536 },
    });
    expect(parseTable(machineText('leftover-ranks', 'info')).chips).toHaveLength(8);
  });

  it('of Ascend 950 has number and name apart, and no chips', () => {
    const row = '| 1                         | 1530715       | VLLM::Worker TP1         | 4724                    |';
    const text = machineText('a950-sick', 'info').replace(/^.*No running processes found in NPU 1 .*$/m, row);
    const { chips, processes } = parseTable(text);
    expect(chips).toHaveLength(8);
    expect(chips[3]).toEqual({
      ...{ npu: 3, physical: 3, name: 'Ascend950PR', health: 'Alarm', hbmUsedMb: 5252, hbmTotalMb: 131_072 },
    });
    expect(processes).toEqual([{ npu: 1, pid: 1_530_715, name: 'VLLM::Worker TP1', memoryMb: 4724 }]);
  });

  it('reads processes where another column says what they are in their container', () => {
    const row =
      '| 0       0                 | 485946        | pytest             | 5175                  | NA                      |';
    const text = `${machineText('a2', 'info').split('| NPU     Chip ')[0]}| NPU     Chip | Process id |\n${row}\n`;
    expect(parseTable(text).processes).toEqual([{ npu: 0, chip: 0, pid: 485_946, name: 'pytest', memoryMb: 5175 }]);
  });

  it('reads numbers that touch the slash', () => {
    const text = machineText('a2', 'info').replace(/3379 +\/ 65536/, '26838/ 65536');
    expect(parseTable(text).chips[0]).toMatchObject({ hbmUsedMb: 26_838, hbmTotalMb: 65_536 });
  });

  it('counts nothing where a damaged line has digits without end, or a number below zero', () => {
    const ecc = (count: string) => parseEcc(`HBM Double Bit Error Count : ${count}\n`).doubleBit;
    expect(['3', '9'.repeat(400), '1e999', '-1', 'NA'].map(ecc)).toEqual([3, 0, 0, 0, 0]);
    const endless = machineText('a3', 'info').replace(/\d+( *\/ *65536)/g, `${'9'.repeat(400)}$1`);
    expect(parseTable(endless).chips[0]).toMatchObject({ hbmUsedMb: 0 });
  });
});

it('the recorded msnpureport leaves a folder with the device logs, as the real one does', async () => {
  const { env } = await npuNode('a2', 8);
  const cwd = await tempDir();
  const { stdout } = await promisify(execFile)('msnpureport', [], { cwd, env });
  const dir = /log path: (.+)/.exec(stdout)![1]!;
  expect(dir.startsWith(cwd)).toBe(true);
  expect(await readFile(join(dir, 'slog/dev-os-0/debug/device-0/device-0.log'), 'utf8')).toContain('heartbeat lost');
});

describe('the host', () => {
  const fine = {
    ...{ ports: new Set<number>(), ephemeral: undefined, reserved: '', openFiles: 65_536, sharedMemory: 2 ** 36 },
  };
  const checks = (facts: object, needs = { hcclPort: 60_000, nodes: 2 }) =>
    hostFindings({ ...fine, ...facts }, needs).map(({ severity, check: name }) => `${severity} ${name}`);

  it('is held against what HCCL and the loaders need', () => {
    expect(checks({})).toEqual([]);
    expect(checks({ sharedMemory: 64 * 2 ** 20 })).toEqual(['error shared-memory']);
    expect(checks({ ports: new Set([25_815]) }, { hcclPort: 25_809, nodes: 2 })).toEqual(['error hccl-ports']);
    expect(checks({ ports: new Set([60_000]) }, { hcclPort: 60_000, nodes: 1 })).toEqual(['warning hccl-ports']);
    const ephemeral = { from: 32_768, to: 60_999 };
    expect(checks({ ephemeral })).toEqual(['warning reserved-ports']);
    expect(checks({ ephemeral, reserved: '6379,60000-60099' })).toEqual([]);
  });

  it('tells ports in hexadecimal and limits in words', () => {
    expect(portsIn(machineText('hccl-ports-taken', 'root/proc/net/tcp'))).toEqual([22, 60_004, 60_005]);
    expect(softLimit(machineText('a2', 'root/proc/self/limits'), 'Max processes')).toBe(Infinity);
  });
});

describe('the interfaces of the host', () => {
  const found = (env: Record<string, string>, nodes = 2) =>
    interfaceFindings({
      interfaces: { lo: ['127.0.0.1'], eth0: ['10.0.0.1'], eth01: ['10.9.0.1'] },
      ...{ address: '10.0.0.1', env, nodes },
    }).map(({ severity, what, remedy }) => `${severity}: ${what}; ${remedy}`);
  const well = { GLOO_SOCKET_IFNAME: 'eth0', HCCL_SOCKET_IFNAME: '=eth0' };

  it.each<[value: string, taken: string[]]>([
    ['eth', ['eth0', 'eth01']],
    ['eth0', ['eth0', 'eth01']],
    ['=eth0', ['eth0']],
    ['eth01,lo', ['eth01', 'lo']],
    ['^lo', ['eth0', 'eth01']],
    ['^eth0', ['lo']],
    ['^=eth0', ['lo', 'eth01']],
    ['=eth', []],
  ])('%s takes %j of HCCL', (value, taken) => expect(takenBy(value, ['lo', 'eth0', 'eth01'])).toEqual(taken));

  it('are well where each tool takes one', () => {
    expect(found(well)).toEqual([]);
    expect(found({ GLOO_SOCKET_IFNAME: 'eth0', HCCL_IF_IP: '10.0.0.1' })).toEqual([]);
    expect(found({}, 1)).toEqual([]);
  });

  it.each<[string, Record<string, string>, RegExp]>([
    [
      "HCCL's sign for gloo",
      { ...well, GLOO_SOCKET_IFNAME: '=eth0' },
      /^error: GLOO_SOCKET_IFNAME is "=eth0", and there are lo, eth0, eth01; unset it/,
    ],
    [
      'a name that is not there',
      { ...well, HCCL_SOCKET_IFNAME: '=bond4' },
      /^error: HCCL_SOCKET_IFNAME is "=bond4", and there are lo/,
    ],
    [
      'a prefix of two',
      { ...well, HCCL_SOCKET_IFNAME: 'eth0' },
      /^warning: HCCL_SOCKET_IFNAME is "eth0", which eth0, eth01 are; name one, as "=eth0"/,
    ],
    [
      'none at all',
      {},
      /^warning: GLOO_SOCKET_IFNAME and HCCL_SOCKET_IFNAME are not set, since 10\.0\.0\.1 is on no interface/,
    ],
  ])('%s is found', (_, env, what) => expect(found(env)).toEqual([expect.stringMatching(what)]));

  it('of a node alone HCCL asks none', () => {
    expect(found({ ...well, HCCL_SOCKET_IFNAME: '=bond4' }, 1)).toEqual([expect.stringMatching(/^warning/)]);
  });

  it('are looked at where a node is checked', async () => {
    const deps = await npuNode('a2', 8);
    const wrong = { ...deps, env: { ...deps.env, GLOO_SOCKET_IFNAME: '=lo' } };
    await expect(check(wrong)).rejects.toThrow(/not fit to train: GLOO_SOCKET_IFNAME is "=lo", and there/);
  });
});

describe("CANN's environment", () => {
  const scripts = async (at: string, home?: string) => {
    const root = await tempDir();
    const base = home ?? join(root, 'usr/local');
    for (const [path, text] of [
      [
        `Ascend/${at}/set_env.sh`,
        'export ASCEND_HOME_PATH=/cann; export LD_LIBRARY_PATH=/cann/lib64:$LD_LIBRARY_PATH; false',
      ],
      ['Ascend/nnal/atb/set_env.sh', 'export ATB_HOME_PATH=/atb; export NOTE="two\nlines"; echo sourced'],
    ] as const) {
      await mkdir(join(base, path, '..'), { recursive: true });
      await writeFile(join(base, path), text);
    }
    return root;
  };
  const PATH = '/usr/bin:/bin';

  it.each(['cann', 'ascend-toolkit'])('is taken from /usr/local/Ascend/%s, and nnal after it', async (at) => {
    const env = await ascendEnvironment({ PATH, LD_LIBRARY_PATH: '/mine' }, await scripts(at));
    expect(env).toEqual({
      ...{ PATH, ASCEND_HOME_PATH: '/cann', LD_LIBRARY_PATH: '/cann/lib64:/mine', ATB_HOME_PATH: '/atb' },
      NOTE: 'two\nlines',
    });
  });

  it('is taken from the home directory, where it was installed without root', async () => {
    const HOME = await tempDir();
    await scripts('cann', HOME);
    expect(await ascendEnvironment({ PATH, HOME }, await tempDir())).toMatchObject({ ASCEND_HOME_PATH: '/cann' });
  });

  it('is left alone where it has been sourced already or is nowhere', async () => {
    const env = { PATH, ASCEND_HOME_PATH: '/mine', ATB_HOME_PATH: '/mine' };
    expect(await ascendEnvironment(env, await scripts('cann'))).toEqual(env);
    expect(await ascendEnvironment({ PATH }, await tempDir())).toEqual({ PATH });
  });
});

describe('the stacks of a gang', () => {
  const stack = (name: string, more: Record<string, string> = {}) => ({
    name,
    versions: {
      torch: '2.7.1',
      torch_npu: '2.7.1.post4',
      cann: '9.0.0',
      driver: '24.1.1',
      'device TLS': 'off',
      ...more,
    },
  });

  it('that are alike need no table', () => {
    expect(compareStacks([stack('n1'), stack('n2')])).toEqual({ fatal: [], table: '' });
  });

  it('that differ are one table that shows who, and what must not differ', () => {
    const { fatal, table } = compareStacks([
      stack('n1'),
      stack('n02', { cann: '8.5.0', driver: '25.0' }),
      stack('n3', { 'device TLS': 'on' }),
    ]);
    expect(fatal).toEqual(['cann', 'device TLS']);
    expect(table.split('\n')).toEqual([
      '            n1      n02    n3',
      'cann        9.0.0   8.5.0  9.0.0',
      'device TLS  off     off    on',
      'driver      24.1.1  25.0   24.1.1',
    ]);
  });

  it('of CPU nodes may differ', () => {
    const cpu = (torch: string) => ({ name: torch, versions: { torch } });
    expect(compareStacks([cpu('2.7.0'), cpu('2.7.1')])).toMatchObject({
      fatal: [],
      table: expect.stringContaining('torch') as string,
    });
  });
});
