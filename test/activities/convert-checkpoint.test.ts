import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createConvertCheckpoint } from '../../activities/convert-checkpoint.js';
import { createListCheckpoints } from '../../activities/list-checkpoints.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { tempDir } from '../support/temp-dir.js';
import { run, testNode } from '../support/test-node.js';

const SHARDS = ['mp_rank_00_000', 'mp_rank_00_001'];
const FROM = 'models/k/hf';
const input = {
  script: 'convert_ckpt_v2.py',
  args: ['--target-pipeline-parallel-size', '2'],
  paths: { '--load-dir': FROM },
  to: 'models/k/mcore-tp1-pp2',
};
const convert = (deps: NodeDeps, shards = SHARDS) => run(createConvertCheckpoint(deps), { ...input, shards });

/** A converter in a checkout's place: a shell script that gets the converter's arguments. */
async function converting(script: string): Promise<NodeDeps> {
  const mindspeedDir = await tempDir();
  const preamble = 'echo "$@" >> calls; while [ "$1" != --save-dir ]; do shift; done; out=$2';
  await writeFile(join(mindspeedDir, 'convert_ckpt_v2.py'), `${preamble}\n${script}\n`);
  const deps = await testNode('n1', { mindspeedDir, python: 'bash', env: { PATH: process.env['PATH']! } });
  await mkdir(join(deps.dataDir, FROM), { recursive: true });
  return deps;
}

const shard = (name: string) =>
  `mkdir -p $out/iter_0000001/${name}; echo weights > $out/iter_0000001/${name}/model_optim_rng.pt`;
const all = `echo 1 > $out.tmp; ${SHARDS.map(shard).join('; ')}; mv $out.tmp $out/latest_checkpointed_iteration.txt`;

describe('a conversion', () => {
  it('gives sealed shards that a listing shows, and is done once', async () => {
    const deps = await converting(all);
    const held = await convert(deps);
    expect(held.map(({ shard: name }) => name)).toEqual(SHARDS);
    expect(await convert(deps)).toEqual(held);
    expect(await run(createListCheckpoints(deps), { dir: input.to })).toEqual([{ iteration: 1, shards: held }]);
    const calls = (await readFile(join(deps.mindspeedDir, 'calls'), 'utf8')).trim().split('\n');
    expect(calls).toHaveLength(1);
    expect(calls[0]).toContain(`--target-pipeline-parallel-size 2 --load-dir ${join(deps.dataDir, FROM)}`);
  });

  it('that exits 0 without a shard is a failure, and leaves nothing under the name', async () => {
    const deps = await converting(shard(SHARDS[0]!));
    await expect(convert(deps)).rejects.toMatchObject({
      type: 'CommandFailed',
      nonRetryable: true,
      message: expect.stringContaining('exit code 0, but the shards are mp_rank_00_000') as string,
    });
    expect(await readdir(join(deps.dataDir, 'models/k'))).not.toContain('mcore-tp1-pp2');
  });

  it('that fails says so with its last line and its log, and can be repeated', async () => {
    const deps = await converting(`[ -e seen ] || { touch seen; echo 'no such model' >&2; exit 1; }; ${all}`);
    await expect(convert(deps)).rejects.toThrow(/ended with exit code 1: no such model; log: /);
    expect(await convert(deps)).toHaveLength(2);
  });
});
