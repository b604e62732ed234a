/** The images: pinned bases, no root for the control worker, and the roles and settings that workers have. */
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { root } from '../../../workers/config.js';
import { deployed, roles } from '../../support/deployed.js';
import { expectRead, readEnvFile } from '../../support/env-file.js';

const text = deployed('containers/Containerfile');
/** The lines of each image, by its name. */
const stages = new Map(
  text
    .split(/^(?=FROM )/m)
    .slice(1)
    .map((stage) => [/ AS (\w+)/.exec(stage)![1]!, stage]),
);
const environment = (stage: string) => {
  const said = /^ENV (.*)$/m.exec(stages.get(stage)!)![1]!.split(' ').join('\n').replace('${MINDSPEED_LLM}', '/opt/M');
  return readEnvFile(said);
};

it('bases are named with a version, and may be changed', () => {
  expect([...stages.keys()]).toEqual(['bundle', 'control', 'node']);
  const bases = [...text.matchAll(/^ARG (\w+_IMAGE)=(.+)$/gm)];
  for (const [, , base] of bases) expect(base).toMatch(/:\d+\.\d+/);
  expect([...text.matchAll(/^FROM (\S+)/gm)].map(([, base]) => base)).toEqual([
    ...['${NODE_IMAGE}', '${NODE_IMAGE}', '${MINDSPEED_IMAGE}'],
  ]);
  expect(bases.map(([, name]) => name)).toEqual(['NODE_IMAGE', 'MINDSPEED_IMAGE']);
});

it('the control worker’s is not root, and its reports are where it may write', () => {
  const control = stages.get('control')!;
  expect(/^USER (\d+):/m.exec(control)![1]).not.toBe('0');
  const { NODE_ENV: _, ...settings } = environment('control');
  expectRead('control', settings);
  expect(control).toContain(`chown 10001:10001 ${settings['PRETRAIN_REPORTS']}`);
});

it('the node worker reads what its image sets', () =>
  expectRead('node', { ...environment('node'), PRETRAIN_NODE: 'n1' }));

it('both start a role that there is, from what the bundle has', () => {
  for (const stage of ['control', 'node']) {
    expect(stages.get(stage)).toContain('ENTRYPOINT ["node", "dist/workers/main.js"]');
    expect(roles).toContain(/^CMD \["(\w+)"\]/m.exec(stages.get(stage)!)![1]);
  }
  const script = /node (infra\/\S+)/.exec(stages.get('bundle')!)![1]!;
  expect(existsSync(`${root}/${script}`)).toBe(true);
});

it('what is built or private stays out of the images, and what the bundle is made of does not', () => {
  const ignored = deployed('containers/Containerfile.dockerignore').split('\n');
  expect(ignored).toEqual(expect.arrayContaining(['.git', '.cache', '.venv', 'dist', 'node_modules', 'test']));
  expect(ignored).not.toEqual(expect.arrayContaining(['infra']));
});
