/** Devices' own network between nodes, asked of a recorded hccn_tool. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createCheckNode } from '../../../activities/check-node.js';
import { createPingDevices } from '../../../activities/npu/ping-devices.js';
import { npuNode } from '../../support/npu-machine.js';
import { run } from '../../support/test-node.js';

async function machine(name: string) {
  const deps = await npuNode(name, 8);
  const asked = join(deps.dataDir, 'pings');
  const ping = createPingDevices({ ...deps, env: { ...deps.env, HCCN_PINGS: asked } });
  const lines = async () => (await readFile(asked, 'utf8')).trim().split('\n');
  return { deps, lines, ping: (pings: { peer: string; device: number; address: string }[]) => run(ping, { pings }) };
}
const of = (device: number, peer = 'n2') => ({ peer, device, address: `10.20.0.2${device}` });

it('the check of a node tells the addresses of its devices, by which others try them', async () => {
  const { deps } = await machine('a2');
  const input = { run: 'r', diskBytes: 1, nodes: 2, release: '26.0.0' as const, hcclPort: 60_000, first: 'n1' };
  const report = await run(createCheckNode(deps), { ...input, devices: 8, artifacts: [] });
  expect(report.deviceAddresses).toEqual(Array.from({ length: 8 }, (_, device) => `10.20.0.1${device}`));
});

it('devices that have IPv6 only are told and tried by it', async () => {
  const { deps, ping, lines } = await machine('ipv6');
  const input = { run: 'r', diskBytes: 1, nodes: 2, release: '26.0.0' as const, hcclPort: 60_000, first: 'n1' };
  const { deviceAddresses } = await run(createCheckNode(deps), { ...input, devices: 8, artifacts: [] });
  expect(deviceAddresses?.[3]).toBe('fd00:10:20::13');
  expect(await ping([{ peer: 'n2', device: 3, address: 'fd00:10:20::23' }])).toEqual({ failed: [] });
  expect(await lines()).toEqual(['-i 3 -ping -inet6 -g ipv6_address fd00:10:20::23']);
});

it('devices that answer are asked once within the hour, by address', async () => {
  const { ping, lines } = await machine('a2');
  expect(await ping([of(0), of(1)])).toEqual({ failed: [] });
  expect(await ping([of(1), of(2)])).toEqual({ failed: [] });
  expect((await lines()).sort()).toEqual([0, 1, 2].map((device) => `-i ${device} -ping -g address 10.20.0.2${device}`));
});

it('one that does not answer is asked twice, and told with what was lost; others of that peer need not be asked', async () => {
  const { ping, lines } = await machine('peer-unreachable');
  const said = '3 packets transmitted, 0 received, 100.00% packet loss';
  expect(await ping([of(3)])).toEqual({ failed: [{ ...of(3), said }] });
  expect(await lines()).toHaveLength(2);
  const many = [0, 1, 2, 3].flatMap((device) => [of(device, 'n2'), of(device, 'n3')]);
  expect((await ping([of(3), ...many])).failed.map(({ peer, device }) => [peer, device])).toEqual([
    ['n2', 3],
    ['n3', 3],
  ]);
});

it('a tool that is busy is asked again for a while, and says nothing of the network', async () => {
  const { ping, lines } = await machine('peer-unreachable');
  expect(await ping([of(5)])).toEqual({ failed: [] });
  expect(await lines()).toHaveLength(5);
});
