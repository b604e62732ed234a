import { chmod, mkdir, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { createCheckNode } from '../../activities/check-node.js';
import { sealArtifact } from '../../activities/artifact.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { pause } from '../../activities/process.js';
import { leaveProbes, storageName } from '../../activities/storage-probe.js';
import type { Artifact } from '../../workflows/contract.js';
import { tempDir } from '../support/temp-dir.js';
import { run, testNode } from '../support/test-node.js';

const input = {
  ...{ run: 'r', diskBytes: 1, devices: 1, nodes: 2, release: '26.0.0' as const, hcclPort: 60_000 },
  ...{ first: 'n1', artifacts: [] },
};
const check = (deps: NodeDeps, more = {}) => run(createCheckNode(deps), { ...input, ...more });

async function program(path: string, script: string): Promise<string> {
  await writeFile(path, `#!/bin/bash\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

/** A node with a directory that looks like a checkout and a Python that has what is wanted. */
async function fitNode(name = 'n1', more: Partial<NodeDeps> = {}): Promise<NodeDeps> {
  const mindspeedDir = await tempDir();
  for (const file of ['pretrain_gpt.py', 'convert_ckpt_v2.py', 'preprocess_data.py'])
    await writeFile(join(mindspeedDir, file), `# ${file}\n`);
  const python = await program(
    join(await tempDir(), 'python'),
    `echo '{"python":"3.11.2","torch":"2.7.1","numpy":"1.26.4"}'`,
  );
  return testNode(name, { mindspeedDir, python, env: { PATH: process.env['PATH']! }, ...more });
}

describe('a node that is fit', () => {
  it('reports its versions, its clock, its disk and a port that is free', async () => {
    const report = await check(await fitNode());
    expect(report).toMatchObject({
      name: 'n1',
      versions: { python: '3.11.2', torch: '2.7.1', numpy: '1.26.4', node: process.versions.node },
    });
    expect(Math.abs(report.clock - Date.now())).toBeLessThan(5_000);
    expect(report.freeBytes).toBeGreaterThan(0);
    expect(report.freePort).toBeGreaterThan(1023);
  });
});

describe('where the trained model is to go', () => {
  it('is looked at before anything is trained', async () => {
    const exportRoots = [await tempDir()];
    const deps = await fitNode('n1', { exportRoots });
    const place = `file://${exportRoots[0]}/new/model`;
    expect(await check(deps, { exportTo: place })).toMatchObject({ name: 'n1' });
    expect(await check(deps, { exportTo: 's3://bucket/model' })).toMatchObject({ name: 'n1' });
    const refused =
      /n1: not fit to train: export\.to file:\/\/\/etc\/model is not under .* PRETRAIN_EXPORTS of n1 names/;
    await expect(check(deps, { exportTo: 'file:///etc/model' })).rejects.toThrow(refused);
    await expect(check(await fitNode(), { exportTo: place })).rejects.toThrow('not under any directory');
  });
});

describe('the fingerprint', () => {
  let deps: NodeDeps;
  const print = async () => (await check(deps)).fingerprint;
  beforeEach(async () => void (deps = await fitNode()));

  it('is approved by the operator or not: other programs are not run', async () => {
    const checkout = await print();
    const approving = { ...deps, checkout };
    expect((await check(approving)).fingerprint).toBe(checkout);
    await writeFile(join(deps.mindspeedDir, 'pretrain_gpt.py'), '# another\n');
    const why = new RegExp(
      `n1: not fit to train: the programs in ${deps.mindspeedDir} are [0-9a-f]{64}, and PRETRAIN_CHECKOUT approves ${checkout}`,
    );
    await expect(check(approving)).rejects.toThrow(why);
    await expect(check(approving)).rejects.toMatchObject({ type: 'EnvCheckFailed', nonRetryable: true });
  });

  it('changes with any source, by name or by content, also behind a link', async () => {
    const seen = [await print()];
    await mkdir(join(deps.mindspeedDir, 'tasks'));
    await writeFile(join(deps.mindspeedDir, 'tasks/a.py'), '1');
    seen.push(await print());
    await writeFile(join(deps.mindspeedDir, 'tasks/a.py'), '2');
    seen.push(await print());
    const megatron = await tempDir();
    await writeFile(join(megatron, 'core.py'), '3');
    await symlink(megatron, join(deps.mindspeedDir, 'megatron'));
    seen.push(await print());
    expect(new Set(seen).size).toBe(4);
  });

  it('does not change with data, caches, logs or a link in a circle', async () => {
    const before = await print();
    for (const dir of ['__pycache__', 'logs', '.git', 'dataset']) {
      await mkdir(join(deps.mindspeedDir, dir));
      await writeFile(join(deps.mindspeedDir, dir, 'x.py'), dir);
    }
    await writeFile(join(deps.mindspeedDir, 'corpus.json'), Buffer.alloc(2 ** 20 + 1));
    await writeFile(join(deps.mindspeedDir, 'weights.pt'), 'w');
    await symlink(deps.mindspeedDir, join(deps.mindspeedDir, 'self'));
    expect(await print()).toBe(before);
  });
});

describe('a node that is not fit says what is missing and what to do', () => {
  const refused = (deps: NodeDeps, message: string, more = {}) =>
    expect(check(deps, more)).rejects.toMatchObject({
      type: 'EnvCheckFailed',
      nonRetryable: true,
      message: expect.stringContaining(message) as string,
    });

  it('no Python', async () => refused(await fitNode('n1', { python: '/nonexistent/python' }), '/nonexistent/python'));

  it('no torch', async () => {
    const python = await program(
      join(await tempDir(), 'python'),
      `echo '{"python":"3.11.2","torch":"missing: No module named torch","numpy":"1"}'`,
    );
    await refused(
      await fitNode('n1', { python }),
      'cannot import torch (No module named torch): install it, or set PRETRAIN_PYTHON',
    );
  });

  it('no entry point, no directory', async () => {
    const deps = await fitNode();
    await rm(join(deps.mindspeedDir, 'convert_ckpt_v2.py'));
    await refused(deps, 'has no convert_ckpt_v2.py');
    await refused({ ...deps, mindspeedDir: join(deps.dataDir, 'nothing') }, 'set MINDSPEED_LLM');
  });

  it('too little disk, too few devices, both in one answer, a line each', async () => {
    await refused(await fitNode(), 'free space there\n  - 1 devices, 8 wanted', { diskBytes: 2 ** 60, devices: 8 });
  });
});

describe('storage', () => {
  const seen = async (nodes: NodeDeps[]) => {
    for (const node of nodes) await leaveProbes(node, { run: 'r', token: 7 });
    return (await Promise.all(nodes.map((node) => check(node)))).map(({ seesFirst }) => seesFirst);
  };

  it('is shared by those that see what the first one left', async () => {
    const shared = await tempDir();
    const nodes = [
      await fitNode('n1', { dataDir: shared }),
      await fitNode('n2', { dataDir: shared }),
      await fitNode('n3'),
    ];
    expect(await seen(nodes)).toEqual([true, true, false]);
  });

  it('is not, where it has another path: trainers name index caches by that', async () => {
    const shared = await tempDir();
    const nodes = [await fitNode('n1'), await fitNode('n2')];
    for (const { dataDir } of nodes) await symlink(shared, join(dataDir, 'datasets'));
    expect(await seen(nodes)).toEqual([true, false]);
    expect(await readdir(join(shared, '.probes/r'))).toEqual(['n1', 'n2']);
  });

  it('is looked at directory by directory: whose name of this launch is there', async () => {
    const shared = await tempDir();
    const nodes = [await fitNode('n1'), await fitNode('n2'), await fitNode('n3')];
    for (const { dataDir } of nodes.slice(0, 2)) await symlink(shared, join(dataDir, 'series'));
    const sees = async (token: number, of: NodeDeps[]) =>
      Promise.all(of.map(async (node) => (await check(node, { probes: { token, of: of.length } })).sees));
    for (const node of nodes) await leaveProbes(node, { run: 'r', token: 7 });
    const own = (name: string) => ({ datasets: [name], models: [name], series: ['n1', 'n2'] });
    expect(await sees(7, nodes)).toEqual([own('n1'), own('n2'), { ...own('n3'), series: ['n3'] }]);

    // What an earlier launch left proves nothing: a directory may be mounted anew since.
    await rm(join(nodes[1]!.dataDir, 'series'));
    for (const node of nodes) await leaveProbes(node, { run: 'r', token: 8 });
    expect((await sees(8, nodes)).map((seen) => seen!.series)).toEqual([['n1'], ['n2'], ['n3']]);
    expect(await readdir(join(shared, '.probes/r@7'))).toEqual(['n1', 'n2']);
  });

  it('is told of in a word where all share it', async () => {
    const shared = await tempDir();
    const nodes = [await fitNode('n1'), await fitNode('n2')];
    for (const { dataDir } of nodes) await symlink(shared, join(dataDir, 'models'));
    for (const node of nodes) await leaveProbes(node, { run: 'r', token: 7 });
    const { sees } = await check(nodes[0]!, { probes: { token: 7, of: 2 } });
    expect(sees).toEqual({ datasets: ['n1'], models: 'all', series: ['n1'] });
  });

  it('leaves nothing behind of launches that were long ago, but for what others left', async () => {
    const shared = await tempDir();
    const [one, other] = [await fitNode('n1'), await fitNode('n2')];
    for (const { dataDir } of [one, other]) await symlink(shared, join(dataDir, 'series'));
    const long = new Date(Date.now() - 2 * 3_600_000);
    for (const token of [5, 6, 7]) {
      for (const node of token === 5 ? [one, other] : [one]) {
        await leaveProbes(node, { run: 'r', token });
        await storageName(node, { run: 'r', token });
        await utimes(join(shared, `.probes/r@${token}`, node.name), long, long);
      }
    }
    await check(one, { probes: { token: 7, of: 2 } });
    expect(await readdir(join(shared, '.probes'))).toEqual(['r@5', 'r@7']);
    expect(await readdir(join(shared, '.probes/r@5'))).toEqual(['.storage', 'n2']);
  });
});

describe('what the run brought here before', () => {
  it('is asked after, and missed when it is not there, is another, or was written to since', async () => {
    const deps = await fitNode();
    const dirs = ['datasets/a', 'datasets/b', 'datasets/c'];
    const artifacts: Artifact[] = [];
    for (const dir of dirs) {
      await mkdir(join(deps.dataDir, dir), { recursive: true });
      await writeFile(join(deps.dataDir, dir, 'x.bin'), dir);
      artifacts.push(await sealArtifact(deps.dataDir, dir));
    }
    const lacks = async (asked: Artifact[]) => (await check(deps, { artifacts: asked })).lacks;
    expect(await lacks(artifacts)).toEqual([]);
    await pause(20);
    await writeFile(join(deps.dataDir, dirs[1]!, 'x.bin'), 'datasets/d');
    const other = { ...artifacts[2]!, digest: artifacts[0]!.digest };
    const never = { ...artifacts[0]!, dir: 'datasets/never' };
    expect(await lacks([artifacts[0]!, artifacts[1]!, other, never])).toEqual([dirs[1], dirs[2], never.dir]);
  });
});
