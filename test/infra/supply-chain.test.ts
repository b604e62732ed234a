/** What is installed: exactly what the lock file says, proven by digest, under licences that a company may use. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../../workers/config.js';

interface Locked {
  integrity?: string;
  license?: string;
  dev?: boolean;
  devOptional?: boolean;
  engines?: { node?: string };
}

const json = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'));
const { dependencies, devDependencies } = json('package.json') as Record<string, Record<string, string>>;
const locked = Object.entries((json('package-lock.json') as { packages: Record<string, Locked> }).packages)
  .filter(([path]) => path !== '')
  .map(([path, entry]) => ({ name: path.split('node_modules/').at(-1)!, ...entry }));

describe('npm packages', () => {
  test('are asked for in one version', () => {
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies }))
      expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
  });

  test('are installed by digest', () => {
    expect(locked.length).toBeGreaterThan(300);
    expect(locked.filter(({ integrity }) => !integrity?.startsWith('sha512-'))).toEqual([]);
  });

  test('have licences that ask for no more than to be named; tools that are not shipped may be under MPL', () => {
    const free = ['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0', 'ISC', 'MIT', 'Unlicense'];
    // Names of browsers and their versions, which are data.
    const known: Record<string, string> = { 'caniuse-lite': 'CC-BY-4.0' };
    // Their package.json has the licence in an old form, or only a file or a page has it.
    const unnamed = ['busboy', 'dicer', 'humanize-number', 'only', 'streamsearch', 'unionfs'];
    const others = locked.filter(({ name, license, dev }) => {
      if (license === undefined) return !unnamed.includes(name);
      const each = license.replace(/[()]/g, '').split(/ AND | OR /);
      return !each.every((one) => free.includes(one) || known[name] === one || (dev && one === 'MPL-2.0'));
    });
    expect(others).toEqual([]);
  });

  test('that run beside devices are few, and each has its reason in the guide', () => {
    const section = readFileSync(join(root, 'infra/README.md'), 'utf8')
      .split('## What is installed')[1]!
      .split('\n## ')[0]!;
    const rows = section.split('\n').filter((line) => line.startsWith('| `'));
    const named = rows.flatMap((row) => [...row.split('|')[1]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
    expect(named.sort()).toEqual(Object.keys(dependencies!).sort());
    for (const row of rows) expect(row.split('|')[2]!.trim()).not.toBe('');
  });
});

describe('the oldest Node', () => {
  const { engines } = json('package.json') as { engines: { node: string } };
  const oldest = engines.node.replace('>=', '');

  /** Whether a version is in a range of npm's, of the forms that packages here use. */
  const isIn = (range: string, version: string) =>
    range.split('||').some((part) => {
      const [, how, from] = /^\s*(>=|\^|>)?\s*([\d.]+)/.exec(part) ?? [];
      if (!from) return part.trim() === '*';
      const [have, want] = [version, from].map((one) => one.split('.').map(Number));
      const order = [0, 1, 2].map((i) => (have![i] ?? 0) - (want![i] ?? 0)).find((difference) => difference !== 0) ?? 0;
      return how === '>=' || how === '>' ? order >= 0 : have![0] === want![0] && order >= 0;
    });
  const refusing = (version: string, packages: Locked[]) =>
    packages.filter(({ engines: of }) => of?.node && !isIn(of.node, version));
  const shipped = locked.filter(({ dev, devOptional }) => !dev && !devOptional);

  test('is one that every package takes, those for tests as well', () => {
    expect(refusing(`${oldest}.0`, locked)).toEqual([]);
    expect(['21.0.0', '22.0.0', '23.0.0', '24.0.0'].flatMap((version) => refusing(version, shipped))).toEqual([]);
    expect(['22.13.0', '24.0.0', '26.0.0'].flatMap((version) => refusing(version, locked))).toEqual([]);
  });

  test('is asked for because a package that is shipped does not take an older one', () => {
    expect(oldest).toBe('20.19');
    expect(refusing('20.18.9', shipped).length).toBeGreaterThan(0);
  });

  test.each(['README.md', 'CONTRIBUTING.md', 'infra/README.md'])('is the one that %s names', (file) => {
    const named = [...readFileSync(join(root, file), 'utf8').matchAll(/≥ (20\.\d+)/g)].map(([, version]) => version);
    expect(new Set(named)).toEqual(new Set([oldest]));
  });

  test('is the one that installing without npm asks for', () => {
    const script = readFileSync(join(root, 'infra/deploy/bundle/install.sh'), 'utf8');
    const [major, minor] = oldest.split('.');
    expect(script).toContain(`a > ${major} || (a === ${major} && b >= ${minor})`);
    expect(script).toContain(`${oldest} or newer is needed`);
  });
});

test.each(['requirements.txt', 'requirements-numpy.txt'])('Python wheels of %s are pinned by digest', (file) => {
  const text = readFileSync(join(root, 'infra/reference-backend', file), 'utf8');
  const wheels = text
    .replaceAll('\\\n', '')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'));
  expect(wheels.length).toBeGreaterThan(0);
  for (const wheel of wheels) expect(wheel).toMatch(/^[\w-]+==[\d.]+( ; [^\\]*?)?( +--hash=sha256:[0-9a-f]{64})+$/);
});
