/** The schedules of the operator's guide, as they are written there, against a real server that is killed on the way. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, Connection, ScheduleOverlapPolicy } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTemporalServer, temporalBinary, type TemporalServer } from '../../infra/demo/temporal-server.js';
import { root } from '../../workers/config.js';
import { tempFolder } from '../support/temp-dir.js';

let server: TemporalServer;
let connection: Connection;
let client: Client;
let dir: Awaited<ReturnType<typeof tempFolder>>;
let guide: string;

beforeAll(async () => {
  dir = await tempFolder();
  guide = await readFile(join(root, 'infra/README.md'), 'utf8');
  await writeFile(join(dir.path, 'run.json'), '{}');
  server = await createTemporalServer({ dbFile: join(dir.path, 'temporal.db'), log: join(dir.path, 'temporal.log') });
  await server.start();
  connection = await Connection.connect({ address: server.address });
  client = new Client({ connection });
});
afterAll(async () => {
  await connection?.close();
  await server?.kill();
  await dir?.remove();
});

/** The guide's commands that begin like this, as a shell would split them. */
const commands = (start: string): string[][] =>
  guide
    .split('\n')
    .filter((line) => line.startsWith(`    temporal ${start}`))
    .map((line) => [...line.trim().matchAll(/'([^']*)'|(\S+)/g)].slice(1).map(([, quoted, plain]) => quoted ?? plain!));

const scheduleOf = (id: string): string[] => commands('schedule create').find((words) => words.includes(id))!;

const cli = async (args: string[]) =>
  promisify(execFile)(await temporalBinary(), args, {
    cwd: dir.path,
    env: { ...process.env, TEMPORAL_ADDRESS: server.address },
  });

const startsOf = async (id: string): Promise<number> =>
  (await client.schedule.getHandle(id).describe()).info.numActionsTaken;

it('are accepted, and do what the guide says of overlap, catch-up and failure', async () => {
  for (const command of commands('schedule create')) await cli(command);
  const policies = async (id: string) => {
    const { policies, action } = await client.schedule.getHandle(id).describe();
    return { ...policies, type: action.workflowType, queue: action.taskQueue };
  };
  const pretrain = { type: 'pretrain', queue: 'pretrain' };
  expect(await policies('nightly')).toMatchObject({
    ...{ ...pretrain, overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: 3_600_000, pauseOnFailure: true },
  });
  expect(await policies('on-new-data')).toMatchObject({
    ...{ ...pretrain, overlap: ScheduleOverlapPolicy.BUFFER_ONE, pauseOnFailure: false },
  });
  expect(await policies('catch-up')).toMatchObject({
    ...{ ...pretrain, overlap: ScheduleOverlapPolicy.BUFFER_ALL, catchupWindow: 48 * 3_600_000 },
  });
  expect(await policies('reaper')).toMatchObject({
    ...{ type: 'reap', queue: 'pretrain', overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: 3_600_000 },
  });
});

it('start a run when they are triggered or made up for, and are paused and gone on with', async () => {
  const [trigger] = commands('schedule trigger');
  await cli(trigger!);
  await cli(trigger!);
  await expect.poll(() => startsOf('on-new-data')).toBe(1);
  for (const command of commands('schedule backfill')) await cli(command);
  await expect.poll(() => startsOf('catch-up')).toBe(1);
  for (const command of commands('schedule toggle')) await cli(command);
  expect((await client.schedule.getHandle('nightly').describe()).state).toMatchObject({
    ...{ paused: true, note: 'maintenance' },
  });
});

it('pause themselves after a run that failed, where the guide says so', async () => {
  const nightly = scheduleOf('nightly');
  const words = nightly.map((word) => (word === 'nightly' ? 'fails' : word));
  words[words.indexOf('--task-queue') + 1] = 'fails';
  await cli(words);
  await cli(['schedule', 'trigger', '--schedule-id', 'fails']);
  const { workflowService } = client;
  const [namespace, taskQueue] = ['default', { name: 'fails' }];
  // A poll is to say how long it waits.
  const poll = () => workflowService.pollWorkflowTaskQueue({ namespace, taskQueue });
  const { taskToken } = await connection.withDeadline(Date.now() + 40_000, poll);
  const failure = { message: 'no such run file', applicationFailureInfo: { type: 'InvalidInput', nonRetryable: true } };
  const commandType = temporal.api.enums.v1.CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION;
  const fail = { commandType, failWorkflowExecutionCommandAttributes: { failure } };
  await workflowService.respondWorkflowTaskCompleted({ namespace, taskToken, commands: [fail] });
  const state = async () => (await client.schedule.getHandle('fails').describe()).state;
  await expect.poll(async () => (await state()).paused).toBe(true);
});

it('make up for what was missed while the server was away, within the catch-up window', async () => {
  const nightly = scheduleOf('nightly');
  const changed = nightly.map((word) => (word === 'nightly' ? 'often' : word));
  const swap = (flag: string, name: string, value: string) => changed.splice(changed.indexOf(flag), 2, name, value);
  swap('--cron', '--interval', '2s');
  // With no worker a run never ends: only this policy shows each start by itself.
  swap('--overlap-policy', '--overlap-policy', 'AllowAll');
  changed.splice(changed.indexOf('--time-zone'), 2);
  await cli(changed);
  await expect.poll(() => startsOf('often')).toBeGreaterThan(0);
  await server.kill('SIGKILL');
  const away = Date.now();
  await new Promise((done) => setTimeout(done, 7000));
  const back = Date.now();
  await server.start();
  await expect.poll(() => missed(away, back)).toBeGreaterThanOrEqual(2);
});

/** Runs whose scheduled time, which is in their id, fell into the outage. */
async function missed(from: number, to: number): Promise<number> {
  let count = 0;
  for await (const { workflowId } of client.workflow.list({ query: 'TemporalScheduledById = "often"' })) {
    const at = Date.parse(/\d{4}-\d\d-\d\dT.*Z$/.exec(workflowId)![0]);
    if (at > from && at < to) count++;
  }
  return count;
}
