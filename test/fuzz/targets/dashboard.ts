import type { Client } from '@temporalio/client';
import fc from 'fast-check';
import { startDashboard, type Dashboard } from '../../../workers/dashboard.js';
import { addEvent, newState } from '../../../workflows/status.js';
import { mutated } from '../mutate.js';
import type { Target } from '../target.js';
import { exchange } from './exchange.js';

const SECRET = 'not-for-strangers';
const TOKEN = 'a'.repeat(40);

/** What somebody has called a run, and whatever else a page shows of it. */
let name = '';

function stateOf(run: string) {
  const state = { ...newState(run, `${name}-${SECRET}`, 10), nodes: [name], spares: [name], waitsFor: name };
  addEvent(state, 1000, name);
  return state;
}

/** A server with one run, whatever it is asked for. */
const client = {
  workflow: {
    async *list({ query }: { query: string }) {
      if (query.includes('pretrain'))
        yield { workflowId: name, status: { name: 'RUNNING' }, startTime: new Date(1000) };
    },
    getHandle: (id: string) => ({
      query: () => Promise.resolve(stateOf(id)),
      describe: () => Promise.resolve({ status: { name: 'RUNNING' } }),
    }),
  },
  withDeadline: (_: number, ask: () => Promise<unknown>) => ask(),
} as unknown as Client;

const lines = ['/', '/?token=TOKEN', '/runs/a', '/runs/..%2f', '/?part=main'].flatMap((path) =>
  ['', 'Authorization: Bearer TOKEN\r\n', 'Cookie: dashboard-token=TOKEN\r\n'].map((more) =>
    Buffer.from(`GET ${path} HTTP/1.1\r\nHost: n1\r\n${more}Connection: close\r\n\r\n`),
  ),
);

let page: Dashboard | undefined;

/** Whatever is asked for, and whatever runs are called: strangers see nothing, and names stay text. */
export const dashboard: Target<[Buffer, string, boolean]> = {
  name: 'dashboard',
  inputs: fc.tuple(
    mutated(lines),
    fc.oneof(
      fc.string({ unit: 'binary', minLength: 1 }),
      fc.constantFrom('<b>', '"><script>', "'<i>&", '\u2028</script>'),
    ),
    fc.boolean(),
  ),
  async check([template, called, knowsToken]) {
    page ??= await startDashboard({ client, host: '127.0.0.1', port: 0, token: TOKEN });
    name = called;
    const { port } = new URL(page.url);
    const asked = template.toString('latin1').replaceAll('TOKEN', knowsToken ? TOKEN : 'b'.repeat(40));
    const answer = await exchange(Number(port), Buffer.from(asked, 'latin1'));
    if (!knowsToken && (answer.includes(SECRET) || answer.startsWith('HTTP/1.1 200')))
      throw new Error(`showed a stranger ${answer.slice(0, 200)}`);
    for (const path of ['', 'runs/a']) {
      const shown = await fetch(page.url + path, { headers: { authorization: `Bearer ${TOKEN}` } });
      const html = await shown.text();
      if (shown.status !== 200) throw new Error(`does not serve any more: ${html.slice(0, 200)}`);
      if (/[<>]/.test(called) && called.length > 1 && html.includes(`>${called}`))
        throw new Error(`a name became markup: ${called}`);
    }
  },
  async close() {
    await page?.close();
    page = undefined;
  },
};
