/** A node whose driver's tools, file system and Python are those of a machine in test/fixtures/npu. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeDeps } from '../../activities/node-deps.js';
import { root } from '../../workers/config.js';
import { testNode } from './test-node.js';

export const NPU = join(root, 'test/fixtures/npu');

/** The machine's own file or directory, else its base's. */
export function recorded(machine: string, path: string): string {
  const own = join(NPU, 'machines', machine, path);
  if (existsSync(own)) return own;
  return recorded(readFileSync(join(NPU, 'machines', machine, 'base'), 'utf8').trim(), path);
}

export const machineText = (machine: string, path: string): string => readFileSync(recorded(machine, path), 'utf8');

export const npuNode = (machine: string, devices: number, more: Partial<NodeDeps> = {}): Promise<NodeDeps> =>
  testNode(machine, {
    profile: 'npu',
    devices,
    root: recorded(machine, 'root'),
    mindspeedDir: recorded(machine, 'checkout'),
    python: join(NPU, 'bin/python'),
    env: {
      PATH: `${join(NPU, 'bin')}:/usr/bin:/bin`,
      NPU_MACHINE: join(NPU, 'machines', machine),
      ASCEND_HOME_PATH: recorded(machine, 'cann'),
      ATB_HOME_PATH: '/usr/local/Ascend/nnal/atb/latest',
      ...{ GLOO_SOCKET_IFNAME: 'lo', HCCL_SOCKET_IFNAME: '=lo' },
    },
    ...more,
  });
