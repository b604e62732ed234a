/** The manifests: what they promise to a run, and that workers read what they set. */
import { existsSync } from 'node:fs';
import { loadClientConfigProfile } from '@temporalio/envconfig';
import { describe, expect, it } from 'vitest';
import { root } from '../../../workers/config.js';
import { deployed, documentsOf, forcedAfter, roles, version, yamlOf } from '../../support/deployed.js';
import { expectRead } from '../../support/env-file.js';

interface Variable {
  name: string;
  value?: string;
  valueFrom?: { fieldRef: { fieldPath: string } };
}
interface Container {
  args: string[];
  env: Variable[];
  envFrom: Record<string, { name: string; optional?: boolean }>[];
  ports: { name: string; containerPort: number; hostPort?: number }[];
  resources: { requests: Record<string, string>; limits: Record<string, string> };
  volumeMounts: { name: string; mountPath: string }[];
  livenessProbe?: object;
  lifecycle?: { preStop: { exec: { command: string[] } } };
  securityContext: object;
}
interface Workload {
  kind: string;
  metadata: { name: string };
  spec: {
    updateStrategy?: object;
    strategy?: object;
    template: {
      spec: {
        terminationGracePeriodSeconds: number;
        hostNetwork?: boolean;
        shareProcessNamespace?: boolean;
        securityContext?: object;
        containers: [Container];
        volumes: { name: string; secret?: { secretName: string; optional: boolean }; hostPath?: { path: string } }[];
      };
    };
  };
}

const kustomization = yamlOf<{
  resources: string[];
  images: { name: string; newTag: string }[];
  configMapGenerator: { name: string; literals: string[] }[];
}>('kubernetes/kustomization.yaml');
const workload = (file: string) => documentsOf<Workload>(`kubernetes/${file}`).find(({ spec }) => spec.template)!;
const fields: Record<string, string> = { 'spec.nodeName': 'n01', 'status.hostIP': '10.0.0.11' };
const settingsOf = ({ env }: Container) =>
  Object.fromEntries(env.map(({ name, value, valueFrom }) => [name, value ?? fields[valueFrom!.fieldRef.fieldPath]!]));

describe('the node worker', () => {
  const { spec } = workload('node.yaml');
  const pod = spec.template.spec;
  const [container] = pod.containers;
  const settings = settingsOf(container);

  it('reads each of its settings', () => expectRead('node', settings));

  it('is replaced by nobody but a person, after its drain, which has time for a checkpoint', () => {
    expect(spec.updateStrategy).toEqual({ type: 'OnDelete' });
    expect(container.lifecycle!.preStop.exec.command).toEqual(['node', 'dist/workers/main.js', 'drain']);
    expect(roles).toContain('drain');
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(3600);
  });

  it('is never restarted for not answering, which would end what trains', () =>
    expect(container.livenessProbe).toBeUndefined());

  it('has the network, the devices, the disk and the ports that its settings say', () => {
    expect(pod.hostNetwork).toBe(true);
    expect(pod.shareProcessNamespace).toBe(true);
    for (const of of [container.resources.requests, container.resources.limits])
      expect(of['huawei.com/Ascend910']).toBe(settings['PRETRAIN_DEVICES']);
    const data = container.volumeMounts.find(({ mountPath }) => mountPath === settings['PRETRAIN_DATA'])!;
    expect(pod.volumes.find(({ name }) => name === data.name)!.hostPath).toBeDefined();
    const ports = container.ports.map(({ containerPort, hostPort }) => [containerPort, hostPort]);
    const said = [settings['PRETRAIN_PORT'], settings['PRETRAIN_METRICS']!.split(':')[1]].map(Number);
    expect(ports).toEqual(said.map((port) => [port, port]));
  });
});

describe('the control worker', () => {
  const { spec } = workload('control.yaml');
  const pod = spec.template.spec;
  const [container] = pod.containers;

  it('reads each of its settings', () => expectRead('control', settingsOf(container)));

  it('is not root, may do nothing, and writes only where its reports go', () => {
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
    expect(container.securityContext).toEqual({
      ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
    });
    expect(container.volumeMounts.map(({ mountPath }) => mountPath)).toContain(
      settingsOf(container)['PRETRAIN_REPORTS'],
    );
  });

  it('has the time that it takes to stop, and gives its disk up before the next one wants it', () => {
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(forcedAfter('control'));
    expect(spec.strategy).toEqual({ type: 'Recreate' });
  });
});

it.each(['control.yaml', 'node.yaml'])('%s names roles, settings and secrets that there are', (file) => {
  const { containers, volumes } = workload(file).spec.template.spec;
  const [{ args, envFrom, volumeMounts }] = containers;
  expect(roles).toEqual(expect.arrayContaining(args));
  expect(volumes.map(({ name }) => name).sort()).toEqual(volumeMounts.map(({ name }) => name).sort());
  expect(envFrom.map(Object.entries)).toEqual([
    [['configMapRef', { name: kustomization.configMapGenerator[0]!.name }]],
    [['secretRef', { name: 'pretrain-secrets', optional: true }]],
  ]);
  const secrets = volumes.flatMap(({ secret }) => secret ?? []);
  expect(secrets.length).toBeGreaterThan(0);
  for (const { secretName, optional } of secrets) {
    expect(optional).toBe(true);
    expect(deployed('kubernetes/kustomization.yaml')).toMatch(new RegExp(`^#   ${secretName} `, 'm'));
  }
});

it('the kustomization has every manifest, and images of this version', () => {
  for (const file of kustomization.resources) expect(existsSync(`${root}/infra/deploy/kubernetes/${file}`)).toBe(true);
  expect(kustomization.images).toEqual(
    ['pretrain-control', 'pretrain-node'].map((name) => ({ name, newTag: version })),
  );
});

it('settings of the connection are what Temporal’s tools read, those to be uncommented as well', () => {
  const settings = [...deployed('kubernetes/kustomization.yaml').matchAll(/- (TEMPORAL_\w+)=(.*)$/gm)];
  expect(settings.length).toBeGreaterThan(4);
  for (const [, name, value] of settings)
    expect(loadClientConfigProfile({ disableFile: true, overrideEnvVars: { [name!]: value! } })).not.toEqual(
      loadClientConfigProfile({ disableFile: true, overrideEnvVars: {} }),
    );
});
