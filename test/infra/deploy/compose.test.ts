/** The Compose file: one version of the server everywhere, settings that the worker reads, and no secret in it. */
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { serverRelease } from '../../../infra/setup/temporal-on-postgres.mjs';
import { root } from '../../../workers/config.js';
import { deployed, forcedAfter, version, yamlOf } from '../../support/deployed.js';
import { expectRead, readEnvFile } from '../../support/env-file.js';

interface Service {
  image: string;
  environment: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  depends_on?: Record<string, { condition: string }>;
  stop_grace_period?: string;
  cap_drop?: string[];
  read_only?: boolean;
}
const { services } = yamlOf<{ services: Record<string, Service> }>('compose/compose.yaml');
const control = services['control']!;

it('the server and its tools are of one version, that of the chart and of the demo on PostgreSQL', () => {
  const { server } = yamlOf<{ server: { image: { tag: string } } }>('helm/temporal-values.yaml');
  expect(server.image.tag).toBe(serverRelease);
  expect(services['temporal']!.image).toBe(`temporalio/server:${serverRelease}`);
  for (const name of ['schema', 'namespace'])
    expect(services[name]!.image).toBe(`temporalio/admin-tools:${serverRelease}`);
  for (const { image } of Object.values(services)) expect(image).toMatch(/:\d+\.\d+/);
  expect(control.image).toBe(`pretrain-control:${version}`);
});

it('the control worker reads each of its settings, and its ports are those that are let out, to this machine alone', () => {
  expectRead('control', control.environment);
  const ports = ['PRETRAIN_DASHBOARD', 'PRETRAIN_METRICS'].map((name) => control.environment[name]!.split(':')[1]!);
  expect(control.ports).toEqual(ports.map((port) => `127.0.0.1:${port}:${port}`));
  expect(control.volumes).toEqual([`reports:${control.environment['PRETRAIN_REPORTS']}`]);
  expect(Number.parseInt(control.stop_grace_period!)).toBeGreaterThan(forcedAfter('control'));
  expect(control).toMatchObject({ read_only: true, cap_drop: ['ALL'] });
});

it('everybody finds the server, after its database has a schema and its namespace is there', () => {
  const port = /:(\d+):7233$/.exec(services['temporal']!.ports![0]!)![1];
  for (const name of ['namespace', 'ui', 'control'])
    expect(services[name]!.environment['TEMPORAL_ADDRESS']).toBe(`temporal:${port}`);
  const done = { condition: 'service_completed_successfully' };
  expect(services['temporal']!.depends_on).toEqual({ schema: done });
  expect(control.depends_on).toEqual({ namespace: done });
});

it('what has no default is in example.env, each with a word of what it is, and no secret has a value there', () => {
  const asked = new Set([...deployed('compose/compose.yaml').matchAll(/\$\{(\w+):\?/g)].map(([, name]) => name));
  const example = readEnvFile(deployed('compose/example.env'));
  expect(Object.keys(example).sort()).toEqual([...asked].sort());
  expect(example).toMatchObject({ POSTGRES_PASSWORD: '', DASHBOARD_TOKEN: '' });
  expect(deployed('compose/compose.yaml')).not.toMatch(/(PASSWORD|PWD|TOKEN): (?!\$\{)/);
});

it('the files that it mounts are beside it', () => {
  const mounted = Object.values(services).flatMap(({ volumes = [] }) => volumes.filter((one) => one.startsWith('./')));
  expect(mounted).toHaveLength(3);
  for (const one of mounted) expect(existsSync(`${root}/infra/deploy/compose/${one.split(':')[0]}`)).toBe(true);
});
