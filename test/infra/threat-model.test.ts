/** Each threat that is stopped names the tests that say so, and they are there. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../../workers/config.js';

const page = readFileSync(join(root, 'infra/README.md'), 'utf8').split('## Threat model')[1]!.split('\n## ')[0]!;
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .slice(2)
  .map((line) => line.split('|').slice(1, -1));

test('what stops a threat is tested, but for what is said to be left to others', () => {
  expect(rows.length).toBeGreaterThan(10);
  const untested = rows.filter(([, , , tests]) => !tests!.trim()).map(([, , what]) => what!.trim());
  for (const what of untested) expect(what).toMatch(/\*\*not stopped\*\*|^nothing here/);
});

test('the tests are there', () => {
  const named = rows.flatMap(([, , , tests]) => [...tests!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
  const missing = named.filter(
    (name) => !existsSync(join(root, 'test', name.endsWith('/') ? name : `${name}.test.ts`)),
  );
  expect(missing).toEqual([]);
});
