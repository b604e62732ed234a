import { cp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  iterationsIn,
  makeNode,
  makeSite,
  processesIn,
  ranks,
  recorded,
  says,
  start,
  torchrun,
  backend,
} from './support.js';

/**
 * What a resume needs, one thing missing or broken at a time, against what was recorded of the real MindSpeed-LLM.
 * Two nodes without a shared disk, one stage each; each case begins with a copy of the state at iteration 10.
 */
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });
const common = (await recorded()).arguments;
const twoStages = [...common, '--pipeline-model-parallel-size', '2', '--no-shared-storage'];
const resume = [...twoStages, '--load', 'save', '--save', 'save'];

const TRACKER = 'save/latest_checkpointed_iteration.txt';
const FOLDER = 'save/iter_0000010';
const MODEL = [0, 1].map((stage) => `${FOLDER}/mp_rank_00_00${stage}/model_optim_rng.pt`) as [string, string];
const OPTIMIZER = [0, 1].map((stage) => `${FOLDER}/mp_rank_00_00${stage}/distrib_optim.pt`) as [string, string];
const CLOSED = /RuntimeError: .*(Connection closed by peer|Connection reset by peer|Broken pipe)/;

const remove = (path: string) => rm(path, { recursive: true });
const halve = async (path: string) => truncate(path, Math.floor((await stat(path)).size / 2));

interface Trap {
  title: string;
  change(node0: string, node1: string): Promise<unknown>;
  args?: string[];
  env?: Record<string, string>;
  exits: [number, number];
  says: [RegExp, RegExp];
  /** The checkpoint was loaded before it failed. */
  loads?: boolean;
}

const traps: Trap[] = [
  {
    title: 'tracker missing on node 1: both wait until the distributed time-out',
    change: (_, node1) => remove(join(node1, TRACKER)),
    env: { REFERENCE_PG_TIMEOUT_SECONDS: '12' },
    exits: [1, 1],
    says: [
      /Timed out waiting 12000ms|Connection closed by peer/,
      /Timed out waiting 12000ms|Connection closed by peer/,
    ],
  },
  {
    title: 'tracker missing on node 0: it would start from random weights, and both wait',
    change: (node0) => remove(join(node0, TRACKER)),
    env: { REFERENCE_PG_TIMEOUT_SECONDS: '12' },
    exits: [1, 1],
    says: [
      /could not find the metadata file save\/latest[^]*will start from random/,
      /Timed out|Connection closed by peer/,
    ],
  },
  {
    title: 'garbage in the tracker of node 0: its rank exits with 0',
    change: (node0) => writeFile(join(node0, TRACKER), 'what'),
    exits: [0, 1],
    says: [/ERROR: Invalid metadata file save\/latest_checkpointed_iteration.txt. Exiting/, CLOSED],
  },
  {
    title: 'empty tracker on node 0',
    change: (node0) => writeFile(join(node0, TRACKER), ''),
    exits: [0, 1],
    says: [/ERROR: Invalid metadata file/, CLOSED],
  },
  {
    title: 'model_optim_rng.pt missing on node 1: its rank exits with 0',
    change: (_, node1) => remove(join(node1, MODEL[1])),
    exits: [1, 0],
    says: [
      CLOSED,
      /could not load the checkpoint\n\[Errno 2\] No such file or directory: 'save\/iter_0000010\/mp_rank_00_001/,
    ],
  },
  {
    title: 'model_optim_rng.pt missing on node 0: its rank exits with 0',
    change: (node0) => remove(join(node0, MODEL[0])),
    exits: [0, 1],
    says: [/could not load the checkpoint/, CLOSED],
  },
  {
    title: 'model_optim_rng.pt truncated on node 1: its rank exits with 0',
    change: (_, node1) => halve(join(node1, MODEL[1])),
    exits: [1, 0],
    says: [CLOSED, /could not load the checkpoint/],
  },
  {
    title: 'distrib_optim.pt missing on node 1',
    change: (_, node1) => remove(join(node1, OPTIMIZER[1])),
    exits: [1, 1],
    says: [CLOSED, /FileNotFoundError: .*'save\/iter_0000010\/mp_rank_00_001\/distrib_optim.pt'/],
  },
  {
    title: 'distrib_optim.pt truncated on node 0',
    change: (node0) => halve(join(node0, OPTIMIZER[0])),
    exits: [1, 1],
    says: [/RuntimeError: PytorchStreamReader failed reading zip archive/, CLOSED],
  },
  {
    title: 'the iteration folder missing on node 1',
    change: (_, node1) => remove(join(node1, FOLDER)),
    exits: [1, 1],
    says: [CLOSED, /FileNotFoundError: \[Errno 2\] No such file or directory: 'save\/iter_0000010'/],
  },
  {
    title: '.idx missing on node 1',
    loads: true,
    change: (_, node1) => remove(join(node1, 'data/tiny_text_document.idx')),
    exits: [1, 1],
    says: [
      CLOSED,
      /AssertionError: One or both of the .idx and .bin files cannot be found at the path prefix data\/tiny/,
    ],
  },
  {
    title: '.bin missing on node 1',
    loads: true,
    change: (_, node1) => remove(join(node1, 'data/tiny_text_document.bin')),
    exits: [1, 1],
    says: [CLOSED, /AssertionError: One or both of the .idx and .bin files cannot be found/],
  },
  {
    title: '.idx truncated on node 1',
    loads: true,
    change: (_, node1) => halve(join(node1, 'data/tiny_text_document.idx')),
    exits: [1, 1],
    says: [CLOSED, /ValueError: buffer is smaller than requested size/],
  },
  {
    title: 'another --train-iters: the schedule differs from the checkpoint',
    change: async () => undefined,
    args: ['--train-iters', '25'],
    exits: [1, 1],
    says: [
      /AssertionError: OptimizerParamScheduler: class input value 10.0 and checkpointvalue 8.0 for warmup iterations do/,
      /AssertionError: OptimizerParamScheduler/,
    ],
  },
];

describe('a resume from two nodes without a shared disk', () => {
  let site: Awaited<ReturnType<typeof makeSite>>;
  let uninterrupted: string[];
  let copies = 0;

  beforeAll(async () => {
    site = await makeSite();
    const nodes = [await makeNode(site.dir, 'whole-n0'), await makeNode(site.dir, 'whole-n1')];
    const running = await ranks(nodes, [...twoStages, '--save', 'save']);
    const exits = await Promise.all(running.map(({ exit }) => exit));
    expect(exits, await running[0]!.log()).toEqual([0, 0]);
    uninterrupted = printed(await running[1]!.log());
  });
  afterAll(() => site.close());

  /** The two nodes as they were at iteration 10, the tracker brought to both. */
  const atIteration10 = async (): Promise<[string, string]> => {
    const name = `copy-${copies++}`;
    const nodes = [0, 1].map((i) => join(site.dir, `${name}-n${i}`)) as [string, string];
    for (const [i, node] of nodes.entries()) {
      await cp(join(site.dir, `whole-n${i}`), node, { recursive: true });
      for (const later of [15, 20]) await remove(join(node, `save/iter_00000${later}`));
      await writeFile(join(node, TRACKER), '10');
    }
    return nodes;
  };
  const run = async (nodes: string[], args: string[], env = {}) => {
    const running = await ranks(nodes, args, { REFERENCE_PG_TIMEOUT_SECONDS: '60', ...env });
    const exits = await Promise.all(running.map(({ exit }) => exit));
    return { exits, logs: (await Promise.all(running.map(({ log }) => log()))) as [string, string] };
  };

  it('prints exactly what the uninterrupted run printed', async () => {
    const { exits, logs } = await run(await atIteration10(), resume);
    expect(exits, logs.join('\n')).toEqual([0, 0]);
    expect(logs[0]).toContain(' loading checkpoint from save at iteration 10\n');
    expect(logs[0]).toContain('  successfully loaded checkpoint from save [ t 1/1, p 1/2 ] at iteration 10\n');
    expect(printed(logs[1])).toEqual(uninterrupted.slice(10));
  });

  it.each(traps)('$title', async ({ change, args = [], env, exits, says, loads = false }) => {
    const nodes = await atIteration10();
    await change(...nodes);
    const result = await run(nodes, [...resume, ...args], env);
    expect(result.exits, result.logs.join('\n')).toEqual(exits);
    for (const i of [0, 1] as const) expect(result.logs[i]).toMatch(says[i]);
    expect(result.logs[0].includes('successfully loaded checkpoint'), result.logs[0]).toBe(loads);
    expect(result.logs.flatMap(iterationsIn)).toEqual([]);
    expect(await exists(join(nodes[0], 'save/iter_0000015'))).toBe(false);
  });

  it('takes the larger iteration when trackers differ', async () => {
    const nodes = await atIteration10();
    await writeFile(join(nodes[1], TRACKER), '5');
    const { exits, logs } = await run(nodes, resume);
    expect(exits).toEqual([0, 0]);
    expect(logs[1]).toContain('WARNING: on rank 1 found iteration 5 in the metadata while max iteration across the');
    expect(printed(logs[1])).toEqual(uninterrupted.slice(10));
  });

  it('starts over and overwrites the checkpoints when no node has a tracker', async () => {
    const nodes = await atIteration10();
    for (const node of nodes) await remove(join(node, TRACKER));
    await writeFile(join(nodes[1], MODEL[1]), 'of value');
    const { exits, logs } = await run(nodes, [...resume, '--exit-interval', '10']);
    expect(exits).toEqual([0, 0]);
    expect(logs[0]).toContain('    will not load any checkpoints and will start from random\n');
    expect(printed(logs[1])).toEqual(uninterrupted.slice(0, 10));
    expect((await stat(join(nodes[1], MODEL[1]))).size).toBeGreaterThan(100_000);
  });

  it('exits with 0 at once when no node has a tracker, with --exit-on-missing-checkpoint', async () => {
    const nodes = await atIteration10();
    for (const node of nodes) await remove(join(node, TRACKER));
    const { exits, logs } = await run(nodes, [...resume, '--exit-on-missing-checkpoint']);
    expect(exits).toEqual([0, 0]);
    expect(logs[0]).toContain(">> '--exit-on-missing-checkpoint' set ... exiting. <<");
    expect(iterationsIn(logs[1])).toEqual([]);
  });

  it('does nothing, and exits with 0, when all iterations are done', async () => {
    const nodes = await atIteration10();
    for (const node of nodes) await writeFile(join(node, TRACKER), '20');
    for (const [i, node] of nodes.entries())
      await cp(join(site.dir, `whole-n${i}/save/iter_0000020`), join(node, 'save/iter_0000020'), { recursive: true });
    const { exits, logs } = await run(nodes, resume);
    expect(exits).toEqual([0, 0]);
    expect(logs[0]).toContain('[after training is done] datetime: ');
    expect(iterationsIn(logs[1])).toEqual([]);
  });

  it('begins the learning rate schedule anew with --no-load-optim and --no-load-rng', async () => {
    const { exits, logs } = await run(await atIteration10(), [...resume, '--no-load-optim', '--no-load-rng']);
    expect(exits).toEqual([0, 0]);
    const [first] = iterationsIn(logs[1]);
    expect(first).toMatchObject({ iteration: 11, samples: 44, learningRate: 6.25e-4 });
  });

  it('needs the index cache on node 1 unless --no-shared-storage tells it to build one', async () => {
    // A copy of a node has another tokenizer path, which is part of the cache's name: none is there.
    const shared = resume.filter((arg) => arg !== '--no-shared-storage');
    const { exits, logs } = await run(await atIteration10(), shared);
    expect(exits).toEqual([1, 1]);
    expect(logs[1]).toMatch(
      /FileNotFoundError: .*'data\/tiny_text_document\/cache\/GPTDataset_indices\/.*document_index/,
    );
  });

  it('refuses a converted checkpoint that it is told to resume from', async () => {
    const nodes = await atIteration10();
    const strip = `import sys, torch
from reference.checkpoint import torch_load
state = torch_load(sys.argv[1])
torch.save({key: state[key] for key in ("args", "checkpoint_version", "iteration", "model")}, sys.argv[1])`;
    for (const i of [0, 1] as const) {
      const stripping = await start(nodes[i], ['-c', strip, MODEL[i]], { PYTHONPATH: backend });
      expect(await stripping.exit, await stripping.log()).toBe(0);
    }
    const { exits, logs } = await run(nodes, resume);
    expect(exits).toEqual([1, 1]);
    expect(logs[0]).toContain('Unable to load optimizer from checkpoint');
    expect(logs[0]).toContain("KeyError: 'optimizer'");
  });
});

describe('two nodes with two ranks each, under torchrun', () => {
  let site: Awaited<ReturnType<typeof makeSite>>;
  let nodes: string[];
  let whole: string[];
  const args = [...twoStages, '--bf16', '--save', 'save'];

  beforeAll(async () => {
    site = await makeSite();
    const first = [await makeNode(site.dir, 'whole-n0'), await makeNode(site.dir, 'whole-n1')];
    const running = await torchrun(first, 2, args);
    expect(await Promise.all(running.map(({ exit }) => exit))).toEqual([0, 0]);
    whole = printed(await running[1]!.log());
    nodes = [await makeNode(site.dir, 'n0'), await makeNode(site.dir, 'n1')];
  });
  afterAll(() => site.close());

  const signal = async (rank: number, name: NodeJS.Signals) => {
    const found = (await processesIn(join(site.dir, rank < 2 ? 'n0' : 'n1'))).find((one) => one.rank === rank);
    process.kill(found!.pid, name);
  };
  const bringTracker = () => cp(join(nodes[0]!, TRACKER), join(nodes[1]!, TRACKER));

  it('ends on both nodes when one rank is killed, and goes on from the last checkpoint to the same digits', async () => {
    const running = await torchrun(nodes, 2, args, { REFERENCE_STEP_SECONDS: '0.2' });
    await says(running[1]!, / iteration +12\//);
    await signal(3, 'SIGKILL');
    expect(await Promise.all(running.map(({ exit }) => exit))).toEqual([1, 1]);
    expect(await running[1]!.log()).toMatch(/failed \(exitcode: -9\)/);
    expect(await running[0]!.log()).toMatch(CLOSED);
    expect(await readFile(join(nodes[0]!, TRACKER), 'utf8')).toBe('10');

    await bringTracker();
    const again = await torchrun(nodes, 2, [...args, '--load', 'save', '--exit-interval', '15']);
    expect(await Promise.all(again.map(({ exit }) => exit))).toEqual([0, 0]);
    expect(await again[0]!.log()).toContain('[exiting program at iteration 15] datetime: ');
    expect(printed(await again[1]!.log())).toEqual(whole.slice(10, 15));
  });

  it('lets one rank a stage go on where two were, to the sixth digit', async () => {
    await bringTracker();
    const running = await ranks(nodes, [...args, '--load', 'save', '--exit-interval', '18']);
    expect(await Promise.all(running.map(({ exit }) => exit))).toEqual([0, 0]);
    const losses = iterationsIn(await running[1]!.log());
    expect(losses.map(({ iteration }) => iteration)).toEqual([16, 17, 18]);
    for (const { iteration, loss } of losses)
      expect(Math.abs(loss - Number(/ ([\d.E+-]+) /.exec(whole[iteration - 1]!)![1]))).toBeLessThan(5e-6);
  });

  it('saves and exits with 0 on all ranks when one gets SIGTERM, with --exit-signal-handler', async () => {
    await bringTracker();
    const more = ['--load', 'save', '--exit-signal-handler', '--save-interval', '100'];
    const running = await torchrun(nodes, 2, [...args, ...more], { REFERENCE_STEP_SECONDS: '0.5' });
    await says(running[1]!, / iteration +19\//);
    await signal(2, 'SIGTERM');
    expect(await Promise.all(running.map(({ exit }) => exit))).toEqual([0, 0]);
    const saved = /saving checkpoint at iteration +(\d+) to save/.exec(await running[0]!.log())![1];
    expect(await running[0]!.log()).toContain('[exiting program after receiving SIGTERM.] datetime: ');
    expect(await readFile(join(nodes[0]!, TRACKER), 'utf8')).toBe(saved);
  });

  it('saves on all ranks when one torchrun gets SIGTERM; that torchrun exits with 1', async () => {
    await writeFile(join(nodes[0]!, TRACKER), '10');
    await bringTracker();
    const more = ['--load', 'save', '--exit-signal-handler', '--save-interval', '100'];
    const running = await torchrun(nodes, 2, [...args, ...more], { REFERENCE_STEP_SECONDS: '0.5' });
    await says(running[1]!, / iteration +11\//);
    const launcher = (await processesIn(nodes[1]!)).find(({ command }) => command.includes('torch.distributed.run'));
    process.kill(launcher!.pid, 'SIGTERM');
    // The other torchrun waits in its exit barrier, for minutes.
    expect(await running[1]!.exit).toBe(1);
    await says(running[0]!, /\[exiting program after receiving SIGTERM.\]/);
    expect(Number(await readFile(join(nodes[0]!, TRACKER), 'utf8'))).toBeGreaterThan(10);
  });
});

describe('one process', () => {
  let site: Awaited<ReturnType<typeof makeSite>>;
  beforeAll(async () => {
    site = await makeSite();
  });
  afterAll(() => site.close());

  const run = async (name: string, args: string[], count = 1, edit?: (node: string) => Promise<unknown>) => {
    const node = await makeNode(site.dir, name);
    await edit?.(node);
    const running = count === 1 ? (await ranks([node], args))[0]! : (await torchrun([node], count, args))[0]!;
    return { exit: await running.exit, log: await running.log() };
  };

  it('refuses an unknown flag with exit code 2', async () => {
    const { exit, log } = await run('unknown', [...common, '--no-such-argument', '3']);
    expect(exit).toBe(2);
    expect(log).toContain('pretrain_gpt.py: error: unrecognized arguments: --no-such-argument 3');
  });

  it('refuses tensor parallelism with exit code 2 and says why', async () => {
    const { exit, log } = await run('tp', [...common, '--tensor-model-parallel-size', '2']);
    expect(exit).toBe(2);
    expect(log).toContain('argument --tensor-model-parallel-size: invalid choice: 2 (choose from 1)');
  });

  it('fails on the first not-a-number', async () => {
    const { exit, log } = await run('nan', [...common, '--lr', '1e6', '--min-lr', '1e5', '--clip-grad', '0']);
    expect(exit).toBe(1);
    expect(log).toMatch(/RuntimeError: Rank 0, node .*, iteration \d+: Unexpected result nan \(message='found NaN in/);
  });

  it('masks the loss sample by sample when pad equals eos, so that the layout does not matter', async () => {
    const padIsEos = async (node: string) => {
      for (const name of ['tokenizer_config.json', 'special_tokens_map.json']) {
        const path = join(node, 'tiny-tokenizer', name);
        await writeFile(path, (await readFile(path, 'utf8')).replace(/("pad_token": )".*"/, '$1"<|endoftext|>"'));
      }
    };
    const args = [...common, '--exit-interval', '6'];
    const one = await run('pad-1', args, 1, padIsEos);
    const two = await run('pad-2', args, 2, padIsEos);
    expect([one.exit, two.exit], one.log + two.log).toEqual([0, 0]);
    const [losses, others] = [iterationsIn(one.log), iterationsIn(two.log)];
    expect(losses).toHaveLength(6);
    losses.forEach(({ loss }, i) => expect(Math.abs(loss - others[i]!.loss)).toBeLessThan(1.5e-6));
  });

  it('ties the embedding to the output over the stages', async () => {
    const tied = [...common.filter((arg) => !arg.startsWith('--untie')), '--exit-interval', '6'];
    const one = await run('tied-1', tied);
    const two = await run('tied-2', [...tied, '--pipeline-model-parallel-size', '2'], 2);
    expect([one.exit, two.exit], one.log + two.log).toEqual([0, 0]);
    iterationsIn(one.log).forEach(({ loss, gradientNorm }, i) => {
      expect(Math.abs(loss - iterationsIn(two.log)[i]!.loss)).toBeLessThan(1.5e-6);
      expect(Math.abs(gradientNorm - iterationsIn(two.log)[i]!.gradientNorm)).toBeLessThan(0.0015);
    });
  });
});

/** Of each iteration line what does not depend on the clock. */
function printed(log: string): string[] {
  return iterationsIn(log).map(({ iteration, samples, learningRate, loss, gradientNorm }) =>
    [`${iteration}:`, loss.toExponential(6).replace('e', 'E'), samples, learningRate, gradientNorm].join(' '),
  );
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
