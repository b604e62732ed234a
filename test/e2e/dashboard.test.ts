/** The page to look at, in a real browser, while a run really trains; and what remains of it, without a network. */
import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PretrainResult } from '../../workflows/status.js';
import { chromiumPath, openBrowser, screenshotPath } from '../support/chromium.js';
import { startCluster, until, type Cluster } from './cluster.js';

const MINUTES = 60_000;
let cluster: Cluster;

beforeAll(async () => {
  if (chromiumPath) cluster = await startCluster(0.3);
}, 3 * MINUTES);
afterAll(() => cluster?.close(), MINUTES);

it.skipIf(!chromiumPath)(
  'shows a run as it trains, by itself, and the report opens from the file system with no network',
  async () => {
    const handle = await cluster.client.workflow.start('pretrain', {
      ...{ workflowId: 'seen', taskQueue: 'pretrain' },
      args: [JSON.parse(await readFile(await cluster.runFile('seen', { series: 'seen' }), 'utf8'))],
    });
    const browser = await openBrowser();
    const page = await browser.newPage();
    const problems: string[] = [];
    const asked: string[] = [];
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('request', (request) => asked.push(request.url()));

    await page.goto(cluster.dashboardUrl);
    await page.waitForSelector('text=pool-demo');
    await page.click('text=seen');
    await page.waitForURL('**/runs/seen');
    // Nobody reloads: figures and curve come by themselves.
    const phase = () => page.textContent('main dl div:first-child dd');
    await until('the page to show that it trains', async () => ((await phase()) === 'train' ? true : undefined));
    await page.waitForSelector('#loss canvas', { timeout: MINUTES });
    const iterations = () => page.textContent('main dl div:nth-child(2) dd');
    const first = await iterations();
    await until('the page to go on', async () => ((await iterations()) !== first ? true : undefined));
    await page.screenshot({ path: await screenshotPath('dashboard-run'), fullPage: true });

    const { report } = (await handle.result()) as PretrainResult;
    await until('the page to end', async () => ((await phase()) === 'done' ? true : undefined));
    await page.waitForSelector('[data-over]');
    const after = asked.length;
    await page.waitForTimeout(5000);
    expect(asked.slice(after)).toEqual([]);
    await page.goto(cluster.dashboardUrl);
    await page.screenshot({ path: await screenshotPath('dashboard'), fullPage: true });
    expect(new Set(asked.map((url) => new URL(url).origin))).toEqual(new Set([new URL(cluster.dashboardUrl).origin]));

    const offline = await browser.newContext({ offline: true });
    const frozen = await offline.newPage();
    frozen.on('pageerror', (error) => problems.push(error.message));
    await frozen.goto(pathToFileURL(report!).href);
    await frozen.waitForSelector('#loss canvas');
    expect(await frozen.textContent('main')).toContain('trained to iteration 30 of 30');
    await frozen.screenshot({ path: await screenshotPath('report'), fullPage: true });
    expect(problems).toEqual([]);
  },
  5 * MINUTES,
);
