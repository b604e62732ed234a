/** SIGTERM and SIGKILL to ranks and to torchrun; two nodes with two ranks each, as it was recorded. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { finished, helper, makeNode, makeSite, processesIn, ranks, says, torchrun, type Running } from './support.js';
import { TRACKER, twoStages } from './two-nodes.js';
import { recordedVerdicts, verdict } from './verdicts.js';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

let site: Awaited<ReturnType<typeof makeSite>>;
let weights: string[];
beforeAll(async () => {
  site = await makeSite();
  await helper(site.dir, 'convert_cases.py', 'mg-bf16-tp1pp2');
  weights = ['--bf16', '--load', join(site.dir, 'mg-bf16-tp1pp2'), '--finetune'];
});
afterAll(() => site.close());

let runs = 0;
/** Starts two nodes, slow enough to be met in an iteration, and waits until the third is printed. */
async function started(
  start: (nodes: string[], args: string[], env: object) => Promise<Running[]>,
  ...args: string[]
): Promise<{ nodes: string[]; running: Running[] }> {
  const name = `run-${runs++}`;
  const nodes = await Promise.all(['n0', 'n1'].map((node) => makeNode(site.dir, `${name}-${node}`)));
  const running = await start(nodes, [...twoStages, ...weights, ...args], { REFERENCE_STEP_SECONDS: '0.4' });
  await says(running[1]!, / iteration +3\//);
  return { nodes, running };
}
const torchruns = (ranksPerNode: number) => (nodes: string[], args: string[], env: object) =>
  torchrun(nodes, ranksPerNode, args, env);

/** Of a node's processes: torchrun has no rank in its environment. */
async function signal(nodes: string[], which: (rank: number | undefined) => boolean, name: NodeJS.Signals) {
  const found = (await Promise.all(nodes.map((node) => processesIn(node)))).flat();
  for (const { pid, rank } of found) if (which(rank)) process.kill(pid, name);
}

const handler = ['--save', 'save', '--exit-signal-handler', '--save-interval', '100', '--train-iters', '200'];
/** Without the numbers of iterations, which depend on when the signal came. */
const ofWhatKind = (verdicts: object[]) =>
  verdicts.map((of) => Object.fromEntries(Object.entries(of).map(([key, value]) => [key, /^last/.test(key) || value])));

describe('with --exit-signal-handler', () => {
  const expectSaved = async (nodes: string[], log0: string, log1: string) => {
    const saved = / iteration +(\d+)\/(?![^]* iteration +\d+\/)/.exec(log1)![1]!;
    expect(log0).toContain(`saving checkpoint at iteration ${saved.padStart(7)} to save`);
    expect(log0).toContain('[exiting program after receiving SIGTERM.] datetime: ');
    expect(await readFile(join(nodes[0]!, TRACKER), 'utf8')).toBe(saved);
  };

  it.each([
    ['all ranks', 2, [0, 1, 2, 3]],
    ['one rank of the first stage', 1, [0]],
    ['one rank of the last stage', 1, [1]],
  ])('SIGTERM to %s: all save at the next iteration and exit with 0', async (_, ranksPerNode, ranks) => {
    const { nodes, running } = await started(torchruns(ranksPerNode), ...handler);
    await signal(nodes, (rank) => rank !== undefined && ranks.includes(rank), 'SIGTERM');
    const { exits, logs } = await finished(running);
    expect(exits).toEqual([0, 0]);
    await expectSaved(nodes, logs[0]!, logs[1]!);
    expect(ofWhatKind(logs.map(verdict))).toEqual(ofWhatKind(await recordedVerdicts('sigterm-ranks-exit-handler')));
  });

  it.each([
    [1, 2],
    [0, 1],
  ])('SIGTERM to the torchrun of node %i: all save; that torchrun exits with 1', async (node, ranksPerNode) => {
    const { nodes, running } = await started(torchruns(ranksPerNode), ...handler);
    await signal([nodes[node]!], (rank) => rank === undefined, 'SIGTERM');
    // The other torchrun waits in its exit barrier, for minutes.
    expect(await running[node]!.exit).toBe(1);
    await says(running[0]!, /\[exiting program after receiving SIGTERM.\]/);
    const logs = await Promise.all(running.map(({ log }) => log()));
    await expectSaved(nodes, logs[0]!, logs[1]!);
    if (node === 1)
      expect(ofWhatKind(logs.map(verdict))).toEqual(ofWhatKind(await recordedVerdicts('sigterm-torchrun-node1')));
  });
});

describe('without it', () => {
  it('SIGTERM ends a rank, and nothing is saved', async () => {
    const { nodes, running } = await started(ranks, '--save', 'save', '--save-interval', '100');
    await signal(nodes, (rank) => rank === 1, 'SIGTERM');
    const { exits, logs } = await finished(running);
    expect(exits).toEqual([1, 'SIGTERM']);
    expect(logs[0]).not.toContain('saving checkpoint');
  });

  // Without torchrun: that of torch 1.13 waits for the lost node in its exit barrier, that of 2.7 does not.
  it('SIGKILL of all processes of a node ends the other one with exit code 1', async () => {
    const { nodes, running } = await started(ranks, '--save', 'save', '--save-interval', '2');
    await signal([nodes[1]!], () => true, 'SIGKILL');
    const { exits, logs } = await finished(running);
    expect(exits).toEqual([1, 'SIGKILL']);
    const [recorded] = await recordedVerdicts('kill-node1');
    expect(ofWhatKind([verdict(logs[0]!)])).toEqual(ofWhatKind([recorded!]));
  });
});
