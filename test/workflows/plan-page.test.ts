/** The printed plan, and that the example run files and their schema are what the source says. */
import { execFile } from 'node:child_process';
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { describePlan, planRun } from '../../workflows/plan-page.js';
import { shellLine } from '../../workflows/shell-line.js';
import { parseRunSpec, runFileSchema, type RunSpec } from '../../workflows/spec.js';
import { root } from '../../workers/config.js';
import { tempDir } from '../support/temp-dir.js';

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
    const shared = { ...spec, cluster: { ...spec.cluster, sharedStorage: true as const } };
    expect(planRun(shared).nodes.flatMap(({ copies }) => copies)).toEqual([]);
    expect(describePlan(planRun(shared), shared)).not.toContain('copies after each save');
  });

  it('of Qwen3-8B on two servers places two stages on each', async () => {
    const plan = planRun(await read('qwen3-8b.json'));
    expect(plan).toMatchObject({ world: 16, dataParallel: 4, target: 500 });
    expect(plan.nodes.map(({ stages }) => stages)).toEqual([[0, 1], [2, 3], []]);
    expect(plan.saves.saveSeconds).toBeGreaterThan(60);
    expect(plan.saves.often).toBeLessThan(plan.saves.usual);
    expect(plan.convert!.join(' ')).toContain('--target-pipeline-parallel-size 4');
    expect(plan.nodes[1]!.command.join(' ')).toContain(
      '--node_rank 1 --master_addr $MASTER_ADDR --master_port $MASTER_PORT',
    );
  });

  it('gives ranks that are stopped the time for a save, and warns where the run file gives them less', async () => {
    expect((await read('qwen3-tiny.json')).recovery.stopGrace).toBe('20s');
    const spec = await read('qwen3-8b.json');
    const { saves, warnings } = planRun(spec);
    expect(Number.parseInt(spec.recovery.stopGrace)).toBeGreaterThanOrEqual(3 * saves.saveSeconds);
    expect(warnings.join()).not.toContain('stopGrace');
    const hasty = { ...spec, recovery: { ...spec.recovery, stopGrace: '30s' } };
    expect(planRun(hasty).warnings.join()).toMatch(/recovery\.stopGrace is 30s, and a save is assumed to take \d+ s/);
  });

  it('prints lines that can be pasted: a shell that knows the variables runs exactly the planned command', async () => {
    const spec = await read('qwen3-8b.json');
    const plan = planRun(spec);
    const lines = describePlan(plan, spec).split('\n');
    const bin = await tempDir();
    const told = join(bin, 'told');
    await writeFile(join(bin, 'python3'), `#!/bin/bash\nprintf '%s\\0' "$PWD" "$HCCL_SOCKET_IFNAME" "$@" > ${told}\n`);
    await chmod(join(bin, 'python3'), 0o755);
    const data = await tempDir();
    const values: Record<string, string> = {
      ...{ DATA: data, MINDSPEED_LLM: '/opt/Mind Speed', MASTER_ADDR: '10.0.0.1', MASTER_PORT: '6000', NIC: 'eth0' },
      ...{ DATASET: 'd1', TOKENIZER: 't1', WEIGHTS: 'w1' },
    };
    expect(lines.flatMap((line) => /^export (\w+)=/.exec(line)?.[1] ?? []).sort()).toEqual(Object.keys(values).sort());
    for (const [index, node] of plan.nodes.filter(({ command }) => command.length).entries()) {
      const at = lines.findIndex((line) => line.startsWith(`node-${index}: `));
      const pasted = lines.slice(at + 1, at + 3).join('\n');
      await promisify(execFile)('bash', ['-c', pasted], { env: { ...values, PATH: `${bin}:/usr/bin:/bin` } });
      const [cwd, nic, ...args] = (await readFile(told, 'utf8')).split('\0').slice(0, -1);
      const filled = node.command.map((arg) => arg.replace(/\$(\w+)/g, (_, name: string) => values[name]!));
      expect([cwd, nic, ...args]).toEqual([data, '=eth0', ...filled.slice(1)]);
    }
  });

  it('says what is to be sourced first, and that converted weights go to every node where storage is not shared', async () => {
    const spec = await read('qwen3-8b.json');
    const page = (sharedStorage: boolean) => {
      const one = { ...spec, cluster: { ...spec.cluster, sharedStorage } };
      return describePlan(planRun(one), one);
    };
    expect(page(false)).toMatch(/^# with NPUs also: source set_env\.sh of CANN .*, then of nnal/m);
    expect(page(false)).toContain(
      'then to every other node, from $DATA/models/$WEIGHTS/mcore-tp1-pp4-ep1-26.0.0: latest_checkpointed_iteration.txt,',
    );
    expect(page(true)).not.toContain('then to every other node');
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
