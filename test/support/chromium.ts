/** A real browser, where this machine has one. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { chromium, type Browser } from 'playwright-core';
import { onTestFinished } from 'vitest';
import { root } from '../../workers/config.js';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** Where it is; `undefined` where there is none, and nothing can be looked at. */
export const chromiumPath: string | undefined = (process.env['PATH'] ?? '')
  .split(delimiter)
  .flatMap((dir) => NAMES.map((name) => join(dir, name)))
  .find((path) => existsSync(path));

export async function openBrowser(): Promise<Browser> {
  const args = ['--no-sandbox', '--disable-gpu'];
  const browser = await chromium.launch({ executablePath: chromiumPath!, args });
  onTestFinished(() => browser.close());
  return browser;
}

/** Pictures that tests leave for people to look at. */
export async function screenshotPath(name: string): Promise<string> {
  const dir = join(root, '.cache/screenshots');
  await mkdir(dir, { recursive: true });
  return join(dir, `${name}.png`);
}
