import fc from 'fast-check';
import { codecRoutes } from '../../../workers/codec-server.js';
import { createPayloadCodec } from '../../../workers/payload-codec.js';
import { mutated, mutatedJson } from '../mutate.js';
import type { Target } from '../target.js';

const codec = createPayloadCodec([{ name: 'k1', key: Buffer.alloc(32, 7) }]);
const routes = codecRoutes(codec, []);
const text = (value: string) => Buffer.from(value).toString('base64');
const open = { payloads: [{ metadata: { encoding: text('json/plain') }, data: text('"a"') }, { data: '' }] };

async function sealed(): Promise<object> {
  const answer = await routes.request('/encode', { method: 'POST', body: JSON.stringify(open) });
  return (await answer.json()) as object;
}
const seeds = [open, await sealed()];

/** Whatever is sent to be opened or sealed: payloads, or what was expected instead. */
export const codecServer: Target<['encode' | 'decode', string | Buffer]> = {
  name: 'codec-server',
  inputs: fc.tuple(
    fc.constantFrom('encode', 'decode'),
    fc.oneof(
      mutated(seeds.map((seed) => Buffer.from(JSON.stringify(seed)))),
      mutatedJson(seeds).map((value) => JSON.stringify(value) ?? ''),
    ),
  ),
  async check([way, body]) {
    const answer = await routes.request(`/${way}`, { method: 'POST', body });
    if (answer.status === 400) return;
    if (answer.status !== 200) throw new Error(`answered ${answer.status}: ${await answer.text()}`);
    const { payloads } = (await answer.json()) as { payloads: unknown };
    if (!Array.isArray(payloads)) throw new Error('no payloads');
    if (way === 'decode') return;
    // What was sealed opens again, to the same.
    const again = await routes.request('/decode', { method: 'POST', body: JSON.stringify({ payloads }) });
    const asked = (JSON.parse(body.toString()) as { payloads?: unknown[] } | null)?.payloads ?? [];
    const back = ((await again.json()) as { payloads: unknown[] }).payloads;
    if (back.length !== asked.length) throw new Error(`${asked.length} were sealed, ${back.length} opened`);
  },
};
