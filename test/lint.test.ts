/** Each architectural lint rule bites: a snippet that breaks it, in the place of a real file, gets its error. */
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const eslint = new ESLint({ cwd: root });

/** Lints the snippet as if it were the file's text. */
async function rulesBroken(file: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(`${code}\n`, { filePath: `${root}${file}` });
  return result!.messages.map(({ ruleId, message }) => ruleId ?? message);
}

const imports = '@typescript-eslint/no-restricted-imports';
const syntax = 'no-restricted-syntax';

const refused: [title: string, file: string, code: string, rule: string][] = [
  ['a workflow does not import Node', 'workflows/pretrain.ts', `export * from 'node:fs';`, imports],
  ['nor by its old name', 'workflows/pretrain.ts', `export { readFile } from 'fs/promises';`, imports],
  ['nor by import()', 'workflows/pretrain.ts', `export const fs = () => import('node:fs');`, 'no-restricted-syntax'],
  ['nor its globals', 'workflows/pretrain.ts', `export const pid = process.pid;`, 'no-restricted-globals'],
  ['a workflow imports no activity', 'workflows/pretrain.ts', `export * from '../activities/node.js';`, imports],
  ['not even a type of one', 'workflows/pretrain.ts', `export type * from '../activities/node.js';`, imports],
  ['by no other path either', 'workflows/pretrain.ts', `export * from './../activities/node.js';`, imports],
  [
    'a workflow does not reach Node by globalThis',
    'workflows/pretrain.ts',
    `export const { process } = globalThis;`,
    'no-restricted-properties',
  ],
  ['a workflow imports no other package', 'workflows/pretrain.ts', `export * from '@temporalio/client';`, imports],
  ['a pure file imports no Temporal', 'workflows/recovery.ts', `export * from '@temporalio/common';`, imports],
  ['not even a type of it', 'workflows/recovery.ts', `export type * from '@temporalio/workflow';`, imports],
  ['a pure file calls nothing impure', 'workflows/recovery.ts', `export { onNode } from './contract.js';`, imports],
  ['an activity imports no workflow', 'activities/node.ts', `export * from '../workflows/pretrain.js';`, imports],
  ['from a folder neither', 'activities/node.ts', `export * from '../../workflows/pretrain.js';`, imports],
  ['an activity imports no worker', 'activities/node.ts', `export * from '../workers/config.js';`, imports],
  [
    'a limit of time is not one that Node forgets',
    'activities/node.ts',
    `export const limit = AbortSignal.timeout(5);`,
    'no-restricted-properties',
  ],
  ['an activity does not use zx', 'activities/node.ts', `export { $ } from 'zx';`, imports],
  [
    'an activity reads no environment',
    'activities/node.ts',
    `export const env = process.env;`,
    'no-restricted-properties',
  ],
  ['nor takes it apart', 'activities/node.ts', `export const { env } = process;`, 'no-restricted-properties'],
  ['nor by an import', 'activities/node.ts', `export { env } from 'node:process';`, imports],
  ['nor of all of it', 'activities/node.ts', `export { default } from 'node:process';`, imports],
  ['nor by globalThis', 'activities/node.ts', `export const env = globalThis.process.env;`, 'no-restricted-properties'],
  ['an activity does not use zx by import()', 'activities/node.ts', `export const z = () => import('zx');`, syntax],
  ['nor another folder', 'activities/node.ts', `export const w = () => import('./../workers/config.js');`, syntax],
  ['a worker neither', 'workers/node.ts', `export const w = () => import('../workflows/pretrain.js');`, syntax],
  [
    'a worker imports no workflow',
    'workers/control.ts',
    `export { pretrain } from '../workflows/pretrain.js';`,
    imports,
  ],
  [
    'one worker file reads the environment',
    'workers/node.ts',
    `export const e = process.env;`,
    'no-restricted-properties',
  ],
  ['no promise floats', 'activities/node.ts', `Promise.resolve(1);`, '@typescript-eslint/no-floating-promises'],
  ['in a workflow neither', 'workflows/pretrain.ts', `Promise.resolve(1);`, '@typescript-eslint/no-floating-promises'],
  ['in a test neither', 'test/lint.test.ts', `Promise.resolve(1);`, '@typescript-eslint/no-floating-promises'],
  [
    'a type is imported as one',
    'workers/control.ts',
    `import { Client } from '@temporalio/client';\nexport type C = Client;`,
    '@typescript-eslint/consistent-type-imports',
  ],
];

const allowed: [title: string, file: string, code: string][] = [
  ['a workflow imports a workflow', 'workflows/pretrain.ts', `export { decide } from './recovery.js';`],
  [
    'a pure file takes a type of the contract',
    'workflows/recovery.ts',
    `export type { NodeInfo } from './contract.js';`,
  ],
  ['an activity uses a pure file', 'activities/node.ts', `export { decide } from '../workflows/recovery.js';`],
  ['the configuration reads the environment', 'workers/config.ts', `export const env = process.env;`],
  ['set-up and demo read it too', 'infra/demo/main.ts', `export const env = process.env;`],
  ['a worker loads its own role', 'workers/main.ts', `export const role = () => import('./node.js');`],
  ['a test imports a worker', 'test/lint.test.ts', `export { root } from '../workers/config.js';`],
];

describe('lint', () => {
  test.each(refused)('%s (%s)', async (_title, file, code, rule) => {
    expect(await rulesBroken(file, code)).toContain(rule);
  });

  test('a file of another kind, which nothing would look into, is an error', async () => {
    expect(await rulesBroken('workflows/pretrain.mts', 'export {};')).toEqual([
      expect.stringMatching(/^Parsing error: .* was not found by the project service/),
    ]);
  });

  test.each(allowed)('%s (%s)', async (_title, file, code) => {
    expect(await rulesBroken(file, code)).toEqual([]);
  });
});
