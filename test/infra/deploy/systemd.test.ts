/** The unit files: what they promise to a run, and that systemd takes them. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { expectRead, readEnvFile } from '../../support/env-file.js';

const path = (name: string) => fileURLToPath(new URL(`../../../infra/deploy/systemd/${name}`, import.meta.url));
const unit = (role: string): Record<string, string> =>
  readEnvFile(readFileSync(path(`pretrain-${role}.service`), 'utf8'));

describe('the unit of the node worker', () => {
  const node = unit('node');

  it('ends the worker alone, so that a restart costs no iteration', () => {
    expect(node['KillMode']).toBe('process');
    expect(node['OOMPolicy']).toBe('continue');
    expect(node['Restart']).toBe('always');
    expect(node['StartLimitIntervalSec']).toBe('0');
  });

  it('gives a worker that stops more time than it takes by its own rules', () => {
    const forced = /shutdownForceTime: '(\d+)s'/.exec(
      readFileSync(new URL('../../../workers/node.ts', import.meta.url), 'utf8'),
    );
    expect(Number(node['TimeoutStopSec'])).toBeGreaterThan(Number(forced![1]));
  });

  // The sandbox of a service is that of every process it starts, and what is private to it goes when it stops.
  it.each([
    ...['PrivateDevices', 'DevicePolicy', 'DeviceAllow', 'ProtectClock', 'MemoryDenyWriteExecute', 'ProtectProc'],
    ...['ProtectHome', 'PrivateTmp', 'RuntimeDirectory', 'PrivateNetwork', 'PrivateIPC', 'SystemCallFilter'],
    ...['MemoryMax', 'CPUQuota', 'RestrictAddressFamilies'],
  ])('does not set %s, which would take something from the ranks', (setting) =>
    expect(node).not.toHaveProperty(setting),
  );

  it('lets ranks lock memory and open files as HCCL and the node check want it', () => {
    expect(node['LimitMEMLOCK']).toBe('infinity');
    expect(Number(node['LimitNOFILE'])).toBeGreaterThanOrEqual(65_536);
  });
});

it.each(['node', 'control'] as const)(
  'the %s worker starts from its settings file, each of whose lines it reads',
  (role) => {
    expect(unit(role)['ExecStart']).toMatch(new RegExp(`/dist/workers/main\\.js ${role}$`));
    expect(unit(role)['EnvironmentFile']).toBe(`/etc/mindspeed-pretrain/${role}.env`);
    expectRead(role, readEnvFile(readFileSync(path(`${role}.env`), 'utf8')));
  },
);

const hasTool = spawnSync('systemd-analyze', ['--version']).status === 0;
it.skipIf(!hasTool)('systemd-analyze verify finds nothing to say of either unit', () => {
  const units = ['node', 'control'].map((role) => path(`pretrain-${role}.service`));
  const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...units], {
    encoding: 'utf8',
  });
  // Of a machine without Node at this very place it says only that.
  const said = `${stdout}${stderr}`
    .split('\n')
    .filter((line) => line && !/\/usr\/bin\/node is not executable/.test(line));
  expect({ said, failed: status !== 0 && said.length > 0 }).toEqual({ said: [], failed: false });
});
