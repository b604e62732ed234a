/** What a bundle is held against before anybody can try it on the machine that it is for. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { complaintsAbout, nativeParts } from '../../../infra/setup/native-parts.mjs';
import { root } from '../../../workers/config.js';

it('a bundle with native parts of another machine or C library, or without one that it needs, is none', () => {
  const parts = nativeParts(join(root, 'node_modules/tokenizers'));
  const of = (name: string) => parts.find(({ path }) => path === `tokenizers.${name}.node`)!;
  expect(of('linux-arm64-gnu')).toMatchObject({ cpu: 'arm64', glibc: 30 });
  expect(of('linux-x64-gnu')).toMatchObject({ cpu: 'x64', glibc: 14 });
  expect(of('linux-arm64-musl')).toMatchObject({ cpu: 'arm64', glibc: undefined });
  expect(of('darwin-arm64')).toMatchObject({ cpu: 'another' });
  const [arm, musl] = [of('linux-arm64-gnu'), of('linux-arm64-musl')].map(({ path, ...part }) => ({
    ...{ ...part, path: `tokenizers/${path}` },
  }));
  expect(complaintsAbout([arm!, musl!], 'arm64')).toEqual([
    'tokenizers/tokenizers.linux-arm64-musl.node is not for linux-arm64 with glibc',
    'nothing of @temporalio/core-bridge/… is there',
    'nothing of @swc/core-linux-… is there',
  ]);
  expect(complaintsAbout([arm!], 'x64')).toContain(
    'tokenizers/tokenizers.linux-arm64-gnu.node is not for linux-x64 with glibc',
  );
});
