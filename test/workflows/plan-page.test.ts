/** The printed plan, and that the example run files and their schema are what the source says. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describePlan, planRun, shellLine } from '../../workflows/plan-page.js';
import { parseRunSpec, runFileSchema, type RunSpec } from '../../workflows/spec.js';
import { root } from '../../workers/config.js';

const runs = join(root, 'infra/runs');

async function read(name: string): Promise<RunSpec> {
  const parsed = parseRunSpec(JSON.parse(await readFile(join(runs, name), 'utf8')), name.replace('.json', ''));
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.spec;
}

describe('the plan', () => {
  it('of the example on two cores says who loads, writes and copies what', async () => {
    const spec = await read('qwen3-tiny.json');
    const page = describePlan(planRun(spec), spec);
    expect(page).toContain('2 nodes × 1 devices = 2 ranks = tp 1 · pp 2 · cp 1 · dp 1');
    expect(page).toContain(
      'node-1: ranks 1–1, stage 1; reads the dataset; loads mp_rank_00_001; writes mp_rank_00_001',
    );
    expect(page).toContain('spare-0: no ranks; copies after each save mp_rank_00_000 of node-0');
  });

  it('of Qwen3-8B on two servers places two stages on each', async () => {
    const plan = planRun(await read('qwen3-8b.json'));
    expect(plan).toMatchObject({ world: 16, dataParallel: 4, target: 500 });
    expect(plan.nodes.map(({ stages }) => stages)).toEqual([[0, 1], [2, 3], []]);
    expect(plan.convert!.join(' ')).toContain('--target-pipeline-parallel-size 4');
    expect(plan.nodes[1]!.command.join(' ')).toContain(
      '--node_rank 1 --master_addr $MASTER_ADDR --master_port $MASTER_PORT',
    );
  });

  it('prints lines that a shell reads back as the same arguments', () => {
    expect(shellLine(['a', '--x=1', 'two words', "it's", '<port>'])).toBe(`a --x=1 'two words' 'it'\\''s' '<port>'`);
  });
});

it('the schema for editors is the one that the source makes', async () => {
  expect(JSON.parse(await readFile(join(runs, 'run-file.schema.json'), 'utf8'))).toEqual(runFileSchema());
});

it('every example run file is valid', async () => {
  const names = (await readdir(runs)).filter((name) => name.endsWith('.json') && !name.includes('schema'));
  expect(names.length).toBeGreaterThan(1);
  for (const name of names) await read(name);
});
