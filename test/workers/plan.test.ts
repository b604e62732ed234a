/** `npm run plan` as a person meets it: what it prints where, and how it exits. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { root } from '../../workers/config.js';
import { runFileReference } from '../../workflows/run-file-reference.js';
import { programOf } from '../support/own-program.js';
import { tempDir } from '../support/temp-dir.js';

interface Printed {
  code: number;
  stdout: string;
  stderr: string;
}

async function plan(...args: string[]): Promise<Printed> {
  const { path, execArgv } = programOf(import.meta.url, '../../workers/plan');
  const command = [...execArgv, path, ...args];
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, command, { cwd: root })) };
  } catch (error) {
    const { code, stdout, stderr } = error as Printed;
    return { code, stdout, stderr };
  }
}

async function file(text: string): Promise<string> {
  const path = join(await tempDir(), 'run.json');
  await writeFile(path, text);
  return path;
}

it('prints a page for a person, and with --json one object as the last line', async () => {
  const path = join(root, 'infra/runs/qwen3-tiny.json');
  const { code, stdout, stderr } = await plan(path, '--json');
  expect([code, stderr]).toEqual([0, '']);
  const lines = stdout.trimEnd().split('\n');
  expect(lines[0]).toContain('2 nodes × 1 devices = 2 ranks');
  expect(JSON.parse(lines.at(-1)!)).toMatchObject({
    series: 'qwen3-tiny',
    world: 2,
    nodes: [{ node: 'node-0' }, {}, {}],
  });
  expect((await plan(path)).stdout).toBe(`${lines.slice(0, -1).join('\n')}\n`);
});

it('prints commands of FSDP2, to be given by hand, and what a run has against the file', async () => {
  const path = await file(
    JSON.stringify({
      model: { preset: 'qwen3-8b', weights: 'hf://Qwen/Qwen3-8B@main', init: 'pretrained' },
      dataset: { source: 'hf://lsb/enwiki20230101@main/data/*.parquet' },
      cluster: { nodes: 1, devicesPerNode: 8 },
      train: { backend: 'fsdp2', iterations: 10, globalBatch: 8, seqLength: 4096, saveInterval: 5, replicas: 0 },
    }),
  );
  const { code, stdout, stderr } = await plan(path, '--json');
  expect([code, stderr]).toEqual([0, '']);
  const lines = stdout.trimEnd().split('\n');
  expect(lines[1]).toContain(
    'by hand nothing is watched, copied or restarted; a run does that, and refuses this file:',
  );
  expect(lines[2]).toMatch(/^ {2}cluster\.sharedStorage: expected false in a run/);
  expect(JSON.parse(lines.at(-1)!)).toMatchObject({ backend: 'fsdp2', world: 8, nodes: [{ node: 'node-0' }] });
});

it('prints the schema that is beside the examples, and the page that is made of it', async () => {
  const beside = (name: string) => readFile(join(root, 'infra/runs', name), 'utf8');
  const { stdout } = await plan('--schema');
  expect(JSON.parse(stdout)).toEqual(JSON.parse(await beside('run-file.schema.json')));
  expect(`${runFileReference()}\n`).toBe(await beside('README.md'));
});

it('says of every field what is expected and what it is for, in words', () => {
  const rows = runFileReference().split('\n').slice(6);
  expect(rows.filter((row) => !/^\| `[\w.]+` \| [^|]+ \| /.test(row.replaceAll('\\|', '')))).toEqual([]);
  expect(rows.filter((row) => !/[^|\s] \|$/.test(row))).toEqual([]);
  expect(rows).toContainEqual(
    expect.stringMatching(/^\| `cluster\.nodes` \| a whole number from 1 to 2000 \| required \|/),
  );
  expect(rows).toContainEqual(
    expect.stringMatching(/^\| `gates\.export\.timeout` \| a duration such as .* \| `"24h"` \|/),
  );
});

it('answers a bad run file with every bad field on stderr, and exits 1', async () => {
  const { code, stdout, stderr } = await plan(await file('{ "model": 1, "train": { "iterations": 0 } }'));
  expect([code, stdout]).toEqual([1, '']);
  for (const path of ['model', 'dataset', 'cluster', 'train.iterations', 'train.globalBatch'])
    expect(stderr).toContain(`  ${path}: expected `);
});

it.each([
  ['that is no JSON', () => file('{\n  "model": {,\n}'), /run\.json:2:13 is not JSON: /],
  ['that is not there', () => Promise.resolve('/nowhere/run.json'), /there is no run file \/nowhere\/run\.json/],
])('a run file %s is one clear line', async (_, path, message) => {
  const { code, stderr } = await plan(await path());
  expect(code).toBe(1);
  expect(stderr).toMatch(message);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
});

it('says how it is used when it is asked', async () => {
  expect(await plan('--help')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('usage: npm run plan -- run') as string,
  });
});

it('says how it is used when there is no run file', async () => {
  expect(await plan()).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('usage: npm run plan -- run.json') as string,
  });
});
