/** What an operator says at 3 a.m., through the real CLI, to a run that really trains, and to its pool. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startCluster, until, type Cluster } from './cluster.js';

const MINUTES = 60_000;
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

/** What the CLI prints, and whether it says that the update was accepted. */
async function update(id: string, name: string, fields: object): Promise<{ ok: boolean; says: string }> {
  const input = JSON.stringify({ who: 'ann', why: 'new fans', ...fields });
  const { code, stdout, stderr } = await cluster.cli(
    ...['workflow', 'update', 'execute', '-w', id, '--name', name, '--input', input],
  );
  return { ok: code === 0, says: stdout + stderr };
}

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
    expect(await update('talk', 'checkpointNow', {})).toMatchObject({ ok: false });
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
    expect((await update('talk', 'drainNode', { node: leaving })).says).toContain('pool is asked for a node');
    await trains('talk', 4);
    expect(await page('pool-demo')).toMatch(new RegExp(`${leaving} .*cordoned since .* by ann: new fans`));
    expect((await update('pool-demo', 'uncordon', { node: leaving })).says).toContain('given to runs again');
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
    expect(await update('talk', 'pauseTraining', { nodes: 'free', at: 'now' })).toMatchObject({ ok: true });
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
    expect((await update('talk', 'replaceNode', { node, at: 'now' })).says).toContain('a spare takes the place');
    await trains('talk', generation + 1);
    expect((await page('talk')).match(/ nodes (.*) · spares/)![1]).not.toContain(node);
    expect((await cluster.cli('workflow', 'cancel', '-w', 'talk')).code).toBe(0);
    await expect(cluster.client.workflow.getHandle('talk').result()).rejects.toThrow('cancelled');
    expect([await cluster.ranks('n1'), await cluster.ranks('n2'), await cluster.ranks('n3')]).toEqual([[], [], []]);
  },
  6 * MINUTES,
);
