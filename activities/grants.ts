/**
 * Who may read this node's files: a run that the control plane has announced here, with the token that it was given
 * for it, for as long as the token lasts. Only a token's digest is kept.
 */
import { randomBytes } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from './artifact.js';
import { noneIfMissing, readJson, writeJson } from './atomic.js';

export interface Grant {
  run: string;
  series: string;
  /** In milliseconds of the wall clock. */
  expires: number;
}

/** Each use counts as a beginning, so that a generation may train for months; one that nobody uses is over by then. */
const LASTS_MS = 7 * 24 * 3_600_000;
/** Uses in between are not written down. */
const NOTED_EVERY_MS = 3_600_000;

const grantsDir = (dataDir: string): string => join(dataDir, 'access');
const grantFile = (dataDir: string, token: string): string => join(grantsDir(dataDir), `${sha256(token)}.json`);

/** Returns the token, which is nowhere else: the one that the run holds already while that is good. */
export async function grantAccess(
  dataDir: string,
  { run, series, access }: Pick<Grant, 'run' | 'series'> & { access?: string },
  now = Date.now(),
): Promise<string> {
  await dropExpired(dataDir, now);
  if (access !== undefined) {
    const held = await grantOf(dataDir, `Bearer ${access}`, now);
    if (held?.run === run && held.series === series) return access;
  }
  const token = randomBytes(32).toString('base64url');
  await writeJson(grantFile(dataDir, token), { run, series, expires: now + LASTS_MS } satisfies Grant);
  return token;
}

/** What the bearer of this `authorization` header may read; `undefined` for a stranger. */
export async function grantOf(
  dataDir: string,
  authorization: string | undefined,
  now = Date.now(),
): Promise<Grant | undefined> {
  const token = /^Bearer ([\w-]{43})$/.exec(authorization ?? '')?.[1];
  if (!token) return undefined;
  // Looked up by digest: the time that it takes tells nothing about other tokens.
  const path = grantFile(dataDir, token);
  const grant: unknown = await readJson(path).catch(() => undefined);
  if (!isGrant(grant) || grant.expires <= now) return undefined;
  if (grant.expires < now + LASTS_MS - NOTED_EVERY_MS)
    // A node whose disk is full is the one whose files others need: it is noted by the next use that can be.
    await writeJson(path, { ...grant, expires: now + LASTS_MS }).catch(() => undefined);
  return grant;
}

/** What a crash left of the file grants nothing. */
const isGrant = (value: unknown): value is Grant => {
  const { run, series, expires } = (value ?? {}) as Partial<Grant>;
  return typeof run === 'string' && typeof series === 'string' && Number.isFinite(expires);
};

/** All that are noted here, used or not. */
export async function grantsIn(dataDir: string): Promise<{ path: string; grant: Grant; mtimeMs: number }[]> {
  const found: { path: string; grant: Grant; mtimeMs: number }[] = [];
  for (const name of await readdir(grantsDir(dataDir)).catch(noneIfMissing)) {
    const path = join(grantsDir(dataDir), name);
    const grant: unknown = await readJson(path).catch(() => undefined);
    const about = await stat(path).catch(() => undefined);
    if (isGrant(grant) && about) found.push({ path, grant, mtimeMs: about.mtimeMs });
  }
  return found;
}

async function dropExpired(dataDir: string, now: number): Promise<void> {
  for (const name of await readdir(grantsDir(dataDir)).catch(() => [])) {
    const path = join(grantsDir(dataDir), name);
    const grant: unknown = await readJson(path).catch(() => undefined);
    if (!isGrant(grant) || grant.expires <= now) await rm(path, { force: true });
  }
}
