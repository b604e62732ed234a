/** Payloads that the server cannot read, through the real CLI as well. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { defaultPayloadConverter } from '@temporalio/common';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { temporalBinary } from '../../infra/demo/temporal-server.js';
import { readCodecKeys } from '../../workers/codec-keys.js';
import { startDashboard } from '../../workers/dashboard.js';
import { createPayloadCodec } from '../../workers/payload-codec.js';
import { startFakeCluster } from '../support/fake-cluster.js';
import { tempDir } from '../support/temp-dir.js';

const aKey = (name: string) => ({ name, key: randomBytes(32) });
const payload = defaultPayloadConverter.toPayload({ series: 'secret-series' });

describe('a payload', () => {
  test('is sealed without a trace, differently each time, and opens as it was', async () => {
    const codec = createPayloadCodec([aKey('k1')]);
    const [first, second] = await codec.encode([payload, payload]);
    expect(Buffer.from(first!.data!).includes('secret')).toBe(false);
    expect(first!.data).not.toEqual(second!.data);
    const [opened] = await codec.decode([first!]);
    expect(defaultPayloadConverter.fromPayload(opened!)).toEqual({ series: 'secret-series' });
  });

  test('that nobody sealed is passed on: somebody may have started a run without the keys', async () => {
    expect(await createPayloadCodec([aKey('k1')]).decode([payload])).toEqual([payload]);
  });

  test('sealed with a former key opens, and what is sealed now is sealed with the first', async () => {
    const [older, newer] = [aKey('2026'), aKey('2027')];
    const sealed = await createPayloadCodec([older]).encode([payload]);
    const both = createPayloadCodec([newer, older]);
    const [opened] = await both.decode(sealed);
    expect(defaultPayloadConverter.fromPayload(opened!)).toEqual({ series: 'secret-series' });
    const [now] = await both.encode([payload]);
    await expect(createPayloadCodec([older]).decode([now!])).rejects.toThrow(
      'a payload is sealed with key "2027": PRETRAIN_CODEC_KEYS has 2026',
    );
  });

  test('that was changed, cut short or sealed with another key of that name is refused', async () => {
    const codec = createPayloadCodec([aKey('k1')]);
    const [sealed] = await codec.encode([payload]);
    const bytes = Buffer.from(sealed!.data!);
    bytes[20]! ^= 1;
    await expect(codec.decode([{ ...sealed, data: bytes }])).rejects.toThrow('was changed');
    await expect(codec.decode([{ ...sealed, data: bytes.subarray(0, 20) }])).rejects.toThrow('is cut short');
    await expect(createPayloadCodec([aKey('k1')]).decode([sealed!])).rejects.toThrow(
      'or is of another key of that name',
    );
  });
});

describe('the file of keys', () => {
  const coded = randomBytes(32).toString('base64');
  test.each([
    ['a line without a key', `k1`, /line 1 of .*: expected a name, a space and 32 bytes in base64/],
    ['a key that is too short', `# mine\nk1 ${coded.slice(4)}`, /line 2 of .*: expected a name/],
    ['one name twice', `k1 ${coded}\nk1 ${coded}`, /has two keys called k1/],
    ['nothing', '\n# later\n', /has no key/],
  ])('with %s is refused without a word of it', async (_, text, error) => {
    const path = join(await tempDir(), 'keys');
    await writeFile(path, text);
    expect(() => readCodecKeys(path)).toThrow(error);
    expect(() => readCodecKeys(path)).not.toThrow(coded.slice(5, 20));
  });

  test('that is not there is named, and none is needed', () => {
    expect(() => readCodecKeys('/nonexistent/keys')).toThrow('PRETRAIN_CODEC_KEYS: /nonexistent/keys cannot be read');
    expect(readCodecKeys(undefined)).toBeUndefined();
  });
});

test('a run of workers with keys leaves nothing readable at the server, and the CLI reads it through the control worker', async (it) => {
  const codec = createPayloadCodec([aKey('k1')]);
  const cluster = await startFakeCluster(it, {}, { payloadCodecs: [codec] });
  const page = await startDashboard({
    client: cluster.client,
    ...{ host: '127.0.0.1', port: 0, token: 'open', codec: { codec, pages: ['http://127.0.0.1:8233'] } },
  });
  onTestFinished(() => page.close());
  for (const name of ['a', 'b']) await cluster.node(name);
  const id = `run-${cluster.pool}`;
  const start = { workflowId: id, taskQueue: cluster.taskQueue, args: [cluster.runFile({ train: { replicas: 0 } })] };
  const handle = await cluster.client.workflow.start('pretrain', start);
  expect(await handle.result()).toMatchObject({ iteration: 20 });

  const { events } = await handle.fetchHistory();
  // As the server gives it: bytes are base64 in there.
  const history = JSON.stringify(events).replaceAll(/"([A-Za-z0-9+/]+={0,2})"/g, (_, coded: string) =>
    Buffer.from(coded, 'base64').toString('latin1'),
  );
  expect(history.includes('binary/encrypted')).toBe(true);
  for (const word of [`s-${cluster.pool}`, 'qwen3-tiny', 'hf://a/tokenizer'])
    expect(history.includes(word), word).toBe(false);

  const cli = await temporalBinary();
  const args = ['workflow', 'query', '-w', id, '--type', 'status', '--address', inject('temporalAddress')];
  const through = ['--codec-endpoint', `${page.url}codec`, '--codec-auth', 'Bearer open'];
  const ask = async (...more: string[]) => (await promisify(execFile)(cli, [...args, ...more])).stdout;
  expect(await ask(...through)).toContain(`s-${cluster.pool}`);
  expect(await ask()).not.toContain(`s-${cluster.pool}`);

  const post = (headers: Record<string, string>, body = '{"payloads":[]}') =>
    fetch(`${page.url}codec/decode`, { method: 'POST', body, headers });
  expect((await post({})).status).toBe(401);
  expect((await post({ Authorization: 'Bearer open' }, '{"payloads":[{"data":"?"}]}')).status).toBe(400);
  const asksFirst = async (Origin: string) =>
    (
      await fetch(`${page.url}codec/decode`, {
        method: 'OPTIONS',
        headers: { Origin, 'Access-Control-Request-Method': 'POST' },
      })
    ).headers.get('Access-Control-Allow-Origin');
  expect(await asksFirst('http://127.0.0.1:8233')).toBe('http://127.0.0.1:8233');
  expect(await asksFirst('http://elsewhere.example')).toBeNull();
}, 120_000);
