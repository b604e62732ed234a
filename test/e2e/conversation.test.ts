/** What an operator says at 3 a.m., through the real CLI, to a run that really trains, and to its pool. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cliUpdate } from '../support/temporal-cli.js';
import { startCluster, until, type Cluster } from './cluster.js';

const MINUTES = 60_000;
const NODES = ['n1', 'n2', 'n3'];
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster(0.2);
}, 3 * MINUTES);
afterAll(() => cluster?.close(), MINUTES);

const start = async (id: string, train: object, more: object = {}, nodes = 2) => {
  const file = await cluster.runFile(id, { series: id, train: { ...train }, cluster: { nodes, spares: 0 }, ...more });
  const { code, stderr } = await cluster.cli(
    ...['workflow', 'start', '--type', 'pretrain', '--task-queue', 'pretrain', '-w', id, '--input-file', file],
  );
  expect([code, stderr]).toEqual([0, '']);
};

const update = (id: string, name: string, fields: object) => cliUpdate(cluster.cli, id, name, fields);

const page = async (id: string): Promise<string> =>
  cluster.client.workflow
    .getHandle(id)
    .query<string>('status')
    .catch(() => '');
const shows = (id: string, pattern: RegExp) =>
  until(`${id} to show ${pattern}`, async () => (pattern.test(await page(id)) ? true : undefined), 120);
/** Waits until a generation has trained something. */
const trains = (id: string, generation: number, iterations = 2) =>
  until(`generation ${generation} of ${id} to train`, async () => {
    const own = (await cluster.metrics(id)).filter((metric) => metric.generation === generation);
    return own.length >= iterations ? own : undefined;
  });
const killRankOf = async (node: string) => process.kill((await cluster.ranks(node))[0]!, 'SIGKILL');

it(
  'a node whose device failed is given to nobody until its quarantine is lifted, and then to the run that waits for it',
  async () => {
    // What a run says that lost it.
    const fault = JSON.stringify({ node: 'n3', reason: 'device 3 is sick', at: Date.now() });
    const report = ['workflow', 'signal', '-w', 'pool-demo', '--name', 'reportFault', '--input', fault];
    expect((await cluster.cli(...report)).code).toBe(0);
    await shows('pool-demo', /n3 .*in quarantine since .* UTC, until .* UTC: device 3 is sick/);
    await start('three', {}, { cluster: { nodes: 2, spares: 1 } });
    await shows('three', /waits for 3 of the pool "demo" \(first in line; .*1 in quarantine.*\)/);
    const lifted = await update('pool-demo', 'uncordon', { node: 'n3' });
    expect(lifted.ok).toBe(true);
    expect(lifted.says).toMatch(/quarantine of n3 is lifted.*device 3 is sick.* is given to runs again/);
    await shows('pool-demo', /n3 .*held by three/);
    expect((await cluster.cli('workflow', 'cancel', '-w', 'three')).code).toBe(0);
    await until('its nodes to be free', async () => (/held by/.test(await page('pool-demo')) ? undefined : true));
  },
  2 * MINUTES,
);

it(
  'approves, saves, pauses around a failure, resumes with other settings, and drains a node',
  async () => {
    await start('talk', { iterations: 400, saveInterval: 200 }, { gates: { train: { timeout: '10m' } } });
    await shows('talk', /· approval · waits for somebody to approve "train"/);
    const { stdout } = await cluster.cli('workflow', 'metadata', '-w', 'talk');
    // What may be asked, with its fields, and the same page as the query's.
    expect(stdout).toMatch(/pauseTraining[\s\S]*nodes: \\?"keep/);
    expect(stdout).toContain('waits for somebody to approve');
    expect(await update('talk', 'approve', { gate: 'lunch' })).toMatchObject({
      ...{ ok: false, says: expect.stringContaining('gate: expected one of train, export, got "lunch"') as string },
    });
    const wrong: [id: string, name: string, fields: object, says: RegExp][] = [
      ['talk', 'checkpointNow', { who: '' }, /who: expected your name/],
      ['talk', 'checkpointNow', {}, /no ranks train now \(phase approval\)/],
      ['talk', 'pauseTraining', { at: 'tomorrow' }, /at: expected \\?"checkpoint/],
      ['talk', 'resumeTraining', {}, /nothing is paused/],
      ['talk', 'replaceNode', { node: 'n9' }, /expected one of the run's, .* got \\?"n9/],
      ['talk', 'addSpare', { count: 0 }, /count: expected a whole number from 1, got 0/],
      ['pool-demo', 'drain', { node: 'n9' }, /expected one of the pool's, .* got \\?"n9/],
      ['pool-demo', 'uncordon', { node: 'n1' }, /n1 is neither cordoned nor in quarantine/],
    ];
    const answers = await Promise.all(wrong.map(([id, name, fields]) => update(id, name, fields)));
    for (const [index, { ok, says }] of answers.entries()) expect([ok, says]).toEqual(refusedWith(wrong[index]![3]));
    expect(await page('talk')).not.toMatch(/^asked /m);
    expect((await update('talk', 'approve', { gate: 'train' })).says).toContain('the run goes on now');
    await trains('talk', 1);
    expect((await update('talk', 'approve', { gate: 'train' })).says).toContain('passed already');

    // Asked twice at once: one save.
    const twice = await Promise.all([update('talk', 'checkpointNow', {}), update('talk', 'checkpointNow', {})]);
    expect(twice.map(({ says }) => says).join('\n')).toMatch(/generation 2 trains on from that save/);
    const second = await trains('talk', 2);
    const before = (await cluster.metrics('talk')).filter(({ generation }) => generation === 1);
    // Nothing was trained twice: it went on from what the ranks saved on their way out, when nobody watched any more.
    expect(second[0]!.iteration).toBeGreaterThan(before.at(-1)!.iteration);

    // A pause, then a failure: the pause holds, at the newest checkpoint.
    expect((await update('talk', 'pauseTraining', {})).says).toMatch(/pauses when iteration 200.* is saved and copied/);
    await killRankOf('n1');
    await shows('talk', /· paused · waits for resumeTraining/);
    expect(await page('talk')).toMatch(new RegExp(`iteration ${second[0]!.iteration - 1}, complete and copied`));
    expect((await update('talk', 'pauseTraining', {})).says).toContain('paused already');
    const other = { settings: { iterations: 600, saveInterval: 10 } };
    expect((await update('talk', 'resumeTraining', other)).says).toContain('settings.schedule: expected');
    const known = { settings: { ...other.settings, schedule: 'keep' } };
    expect((await update('talk', 'resumeTraining', known)).says).toContain('launches generation 3');
    await trains('talk', 3);
    expect(await page('talk')).toContain('of 600');
    expect((await update('talk', 'resumeTraining', {})).says).toContain('nothing is paused');

    expect((await update('talk', 'drainNode', { node: 'n9' })).says).toMatch(
      /expected one of the run's, .* got \\?"n9/,
    );
    const [leaving] = (await page('talk')).match(/(?<=nodes )n\d/)!;
    const drained = await Promise.all([0, 1].map(() => update('talk', 'drainNode', { node: leaving })));
    expect(drained.map(({ ok }) => ok)).toEqual([true, true]);
    const saying = drained.map(({ says }) => says).join();
    expect(saying).toMatch(/pool is asked for a node/);
    expect(saying).toMatch(/asked for already, and is now as follows/);
    await trains('talk', 4);
    expect(await page('pool-demo')).toMatch(new RegExp(`${leaving} .*cordoned since .* by ann: new fans`));
    const free = { node: leaving };
    expect((await update('pool-demo', 'cordon', free)).says).toMatch(
      /was cordoned already, by ann: new fans. n\d is free/,
    );
    expect((await update('pool-demo', 'drain', free)).says).toMatch(/was cordoned already.*given to no run until/);
    expect((await update('pool-demo', 'uncordon', free)).says).toContain('given to runs again');
    expect(await update('pool-demo', 'uncordon', free)).toMatchObject({ ok: false });
    expect((await update('pool-demo', 'cordon', { node: 'n9' })).says).toContain("one of the pool's");
  },
  6 * MINUTES,
);

it(
  'two runs compete for three nodes: one waits, says behind whom, and trains while the other is paused',
  async () => {
    await start('rival', { iterations: 4, saveInterval: 4 });
    await shows('rival', /waits for 2 of the pool "demo" \(first in line; .*2 held by talk.*\)/);
    // A failure, then a pause while the run recovers from it.
    const { iteration } = (await cluster.metrics('talk')).at(-1)!;
    expect(iteration).toBeGreaterThan(0);
    await killRankOf((await page('talk')).match(/(?<=nodes )n\d/)![0]);
    await until('the failure to show', async () => (/failed at iteration/.test(await page('talk')) ? true : undefined));
    const wrong: [name: string, fields: object, says: RegExp][] = [
      ['checkpointNow', {}, /no ranks train now \(phase \w+\).*the newest checkpoint is iteration/],
      ['resumeTraining', {}, /nothing is paused \(phase (?!train)\w+\)/],
      ['approve', { gate: 'train' }, /passed already/],
      ['replaceNode', { node: 'n9' }, /expected one of the run's/],
      ['drainNode', { node: 'n9' }, /expected one of the run's/],
    ];
    const refused = await Promise.all(wrong.map(([name, fields]) => update('talk', name, fields)));
    expect(await update('talk', 'pauseTraining', { nodes: 'free', at: 'now' })).toMatchObject({ ok: true });
    for (const [index, { ok, says }] of refused.entries()) expect([ok, says]).toEqual(refusedWith(wrong[index]![2]));
    expect(await cluster.client.workflow.getHandle('rival').result()).toMatchObject({ iteration: 4, generations: 1 });
    expect((await update('talk', 'addSpare', {})).says).toContain('settings.spares');
    expect((await update('talk', 'resumeTraining', { settings: { spares: 1 } })).says).toContain(
      'asks the pool for nodes',
    );
    const generation = await until('talk to train again', async () => {
      const last = (await cluster.metrics('talk')).at(-1)!;
      return last.generation > 4 ? last.generation : undefined;
    });
    expect(await page('talk')).toMatch(/spares n\d/);
    const [node] = (await page('talk')).match(/(?<=nodes )n\d/)!;
    const more = await Promise.all([0, 1].map(() => update('talk', 'addSpare', {})));
    for (const { says } of more) expect(says).toContain('the pool is asked for 1 more');
    const moved = await Promise.all([0, 1].map(() => update('talk', 'replaceNode', { node, at: 'now' })));
    for (const { ok, says } of moved)
      expect([ok, says]).toEqual([true, expect.stringContaining('a spare takes the place')]);
    expect(moved.map(({ says }) => says).join()).toContain('asked for already');
    await trains('talk', generation + 1);
    expect((await page('talk')).match(/ nodes (.*) · spares/)![1]).not.toContain(node);
  },
  6 * MINUTES,
);

it(
  'a run that is terminated leaves no rank, and the reaper removes the rest, but for what its series goes on from',
  async () => {
    const stop = await cluster.cli('workflow', 'terminate', '-w', 'talk', '--reason', 'the cluster is needed');
    expect(stop.code).toBe(0);
    const ranks = async () => (await Promise.all(NODES.map((node) => cluster.ranks(node)))).flat();
    const query = 'ExecutionStatus = "Running" AND WorkflowType = "trainGeneration"';
    const open = async () => (await cluster.client.workflow.count(query)).count;
    await until('its generation to end', async () => ((await open()) === 0 ? true : undefined));
    expect(await ranks()).toEqual([]);
    const reap = async (input: object) => {
      const { code, stdout, stderr } = await cluster.cli(
        ...['workflow', 'execute', '--type', 'reap', '--task-queue', 'pretrain', '-w', 'reap', '--output', 'json'],
        ...['--input', JSON.stringify({ pool: 'demo', grace: '1s', ...input })],
      );
      expect([code, stderr]).toEqual([0, '']);
      return stdout;
    };
    const files = async () =>
      (
        await Promise.all(NODES.map((node) => readdir(cluster.dataOf(node), { recursive: true, withFileTypes: true })))
      ).flatMap((entries) =>
        entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name)),
      );
    const before = await files();
    const gone = async () => {
      const there = new Set(await files());
      return before.filter((path) => !there.has(path));
    };
    expect(await reap({ dryRun: true })).toMatch(/dry run, nothing was touched.*file tokens? would be removed/s);
    expect(await gone()).toEqual([]);
    const said = await reap({});
    expect(said).toMatch(/n\d: talk: \d launch director(y|ies) .* file tokens? removed/);
    const removed = await gone();
    expect(removed.some((path) => /runs\/talk\/gen-1-\d+\/train\.log$/.test(path))).toBe(true);
    expect(removed.filter((path) => !/\/(access|runs\/\w+\/gen-\d+-\d+|\.probes\/[\w@]+)\/[^/]+$/.test(path))).toEqual(
      [],
    );
    expect(await page('pool-demo')).not.toContain('held by');
  },
  2 * MINUTES,
);

/** An update that the CLI ends with another exit code for, having printed why. */
const refusedWith = (why: RegExp) => [false, expect.stringMatching(why) as string];
