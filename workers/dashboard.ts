/** A read-only page to look at: runs, pools, and each run as it trains. Served by a control worker. */
import { randomBytes } from 'node:crypto';
import { serve } from '@hono/node-server';
import { QueryNotRegisteredError, WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { PayloadCodec } from '@temporalio/common';
import { Hono, type Context } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import { timingSafeEqual } from 'hono/utils/buffer';
import { reasonOf } from '../activities/failures.js';
import { clock, htmlPage } from '../activities/html-page.js';
import { overviewMain, type PoolLine, type RunLine } from '../activities/overview-main.js';
import { runMain } from '../activities/run-main.js';
import type { PoolState } from '../workflows/roster.js';
import type { RunState } from '../workflows/status.js';
import { codecRoutes } from './codec-server.js';

export interface DashboardOptions {
  client: Client;
  host: string;
  /** 0 for any that is free. */
  port: number;
  /** Needed from whoever looks; without it only this machine may. */
  token?: string;
  refreshMs?: number;
  /** Opens payloads for these pages and for the CLI. */
  codec?: { codec: PayloadCodec; pages: string[] };
}

export interface Dashboard {
  url: string;
  close(): Promise<void>;
}

/** Runs on the first page, the newest first. */
const RUNS = 50;
/** A workflow whose workers are gone answers no query, and is not to keep the page of all others waiting. */
const ANSWERS_WITHIN_MS = 2000;
const COOKIE = 'dashboard-token';

export async function startDashboard({
  client,
  host,
  port,
  token,
  refreshMs = 2000,
  codec,
}: DashboardOptions): Promise<Dashboard> {
  const app = new Hono<{ Variables: { nonce: string } }>();
  app.use(async (c, next) => {
    // A browser asks whether it may ask without what it would ask with.
    if (codec && c.req.method === 'OPTIONS') return next();
    const refused = token === undefined ? refuseOtherHosts(c, host) : await refuseStrangers(c, token);
    if (refused) return refused;
    const nonce = randomBytes(16).toString('base64');
    c.set('nonce', nonce);
    await next();
    c.header(
      'Content-Security-Policy',
      `default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-${nonce}'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    );
    c.header('X-Content-Type-Options', 'nosniff');
    c.header('Referrer-Policy', 'no-referrer');
    c.header('Cache-Control', 'no-store');
    return undefined;
  });
  const show = (c: Context<{ Variables: { nonce: string } }>, title: string, main: string) =>
    c.html(c.req.query('part') === 'main' ? main : htmlPage({ title, main, refreshMs, nonce: c.get('nonce') }));

  app.get('/', async (c) => {
    const [runs, pools] = await Promise.all([listRuns(client), listPools(client)]);
    return show(c, 'Pretraining', overviewMain(runs, pools));
  });
  app.get('/runs/:id', async (c) => {
    const id = c.req.param('id');
    const run = await lookAt(client, id);
    if (!run) return c.text(`there is no run ${id}, or no control worker that knows it`, 404);
    if (run === 'no page')
      return c.text(
        `${id} has no page: its run file was refused (temporal workflow result -w … says why), or it is no run`,
        404,
      );
    const { state, status } = run;
    const over = status === 'RUNNING' ? '' : `<p class="soft" data-over>${status.toLowerCase()}</p>`;
    return show(c, state.run, over + runMain(state, sayingOf(state), Date.now()));
  });
  if (codec) app.route('/codec', codecRoutes(codec.codec, codec.pages));
  app.onError((error, c) =>
    c.text(`the Temporal server, or a control worker, does not answer: ${reasonOf(error)}`, 503),
  );

  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: host, port }, (info) =>
      resolve({
        url: `http://${host.includes(':') ? `[${host}]` : host}:${info.port}/`,
        close: () => new Promise((done) => void server.close(() => done())),
      }),
    );
    server.once('error', reject);
  });
}

/** A page of somebody else's that a browser shows must not read this one under a name of its own. */
function refuseOtherHosts(c: Context, host: string): Response | undefined {
  const { hostname } = new URL(c.req.url);
  return [host, 'localhost', '127.0.0.1', '[::1]'].includes(hostname)
    ? undefined
    : c.text(`expected the host ${host}, got ${hostname}`, 403);
}

/** By header for programs; for browsers once in the address, and from then on in a cookie. */
async function refuseStrangers(c: Context, token: string): Promise<Response | undefined> {
  const isRight = async (given: string | undefined) => given !== undefined && (await timingSafeEqual(given, token));
  if (await isRight(/^Bearer (.+)$/.exec(c.req.header('Authorization') ?? '')?.[1])) return undefined;
  if (await isRight(getCookie(c, COOKIE))) return undefined;
  if (!(await isRight(c.req.query('token')))) return c.text('expected the token: /?token=…, once', 401);
  setCookie(c, COOKIE, token, { httpOnly: true, sameSite: 'Strict', path: '/' });
  return c.redirect(c.req.path);
}

async function listRuns(client: Client): Promise<RunLine[]> {
  const found: RunLine[] = [];
  // Of a run that continued as new, the execution that it is now.
  const query = 'WorkflowType = "pretrain" AND ExecutionStatus != "ContinuedAsNew"';
  for await (const { workflowId, status, startTime } of client.workflow.list({ query })) {
    found.push({ id: workflowId, status: status.name.toLowerCase(), startedAt: startTime.getTime() });
    if (found.length === RUNS) break;
  }
  return Promise.all(
    found.map(async (line) => {
      if (line.status !== 'running') return line;
      const run = await soon(client, () => lookAt(client, line.id)).catch(() => undefined);
      if (!run || run === 'no page') return line;
      const { phase, iteration, total } = run.state;
      return { ...line, phase, progress: `${iteration} of ${total}` };
    }),
  );
}

async function listPools(client: Client): Promise<PoolLine[]> {
  const names: string[] = [];
  const query = 'WorkflowType = "nodePool" AND ExecutionStatus = "Running"';
  for await (const { workflowId } of client.workflow.list({ query })) names.push(workflowId);
  const ask = (name: string) => soon(client, () => client.workflow.getHandle(name).query<PoolState>('poolState'));
  return Promise.all(
    names.map((name) =>
      ask(name).then(
        (state) => ({ name, state }),
        () => ({ name }),
      ),
    ),
  );
}

const soon = <T>(client: Client, ask: () => Promise<T>): Promise<T> =>
  client.withDeadline(Date.now() + ANSWERS_WITHIN_MS, ask);

/** Also a run that is closed, as long as the server keeps it. */
async function lookAt(
  client: Client,
  id: string,
): Promise<{ state: RunState; status: string } | 'no page' | undefined> {
  try {
    const handle = client.workflow.getHandle(id);
    const [state, { status }] = await Promise.all([handle.query<RunState>('runState'), handle.describe()]);
    return { state, status: status.name };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    if (error instanceof QueryNotRegisteredError) return 'no page';
    throw error;
  }
}

function sayingOf({ waitsFor, asOf, phase }: RunState): string {
  if (waitsFor) return `waits for ${waitsFor}`;
  return asOf ? `as of ${clock(asOf)} UTC` : phase;
}
