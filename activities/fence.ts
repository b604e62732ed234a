/**
 * The node's memory of the newest launch token it has seen: older ones are refused and ended, for ever. Tokens only
 * rise over the whole pool, so comparing them is enough.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { endLaunched } from './end-launched.js';
import { exclusive } from './exclusive.js';
import { readJson, writeJson } from './atomic.js';
import { launchesIn, launchName } from './generation-files.js';

interface FenceFile {
  /** Newest token that was launched or stopped here. */
  token: number;
  /** Directory of the launch that has it: no other may have the same token. */
  launch?: string;
  /** Newest token that was stopped: not even the same one may start again. */
  stopped: number;
}

const GRACE_MS = 5000;

const pathOf = (dataDir: string): string => join(dataDir, 'runs', 'fence.json');

/** Why a launch may not start, if so. */
export async function refusal(dataDir: string, token: number, launch: string): Promise<string | undefined> {
  return refusedBy(await readFence(dataDir), token, launch);
}

/**
 * Lets a launch with this token begin, and ends what older ones left; or says why not: a newer one was here, or it
 * was stopped already.
 */
export async function fenceBelow(dataDir: string, token: number, launch: string): Promise<string | undefined> {
  const refused = await exclusive(pathOf(dataDir), async () => {
    const fence = await readFence(dataDir);
    const why = refusedBy(fence, token, launch);
    if (!why && fence.launch !== launch) await writeFence(dataDir, { ...fence, token, launch });
    return why;
  });
  if (refused) return refused;
  return (await endOlder(dataDir, token))
    ? undefined
    : 'processes of an older launch do not end, not on SIGKILL either';
}

/** Ends what launches with older tokens left. @returns whether nothing of them is left */
export const endOlder = (dataDir: string, token: number): Promise<boolean> =>
  endLaunched(dataDir, (older) => older < token, GRACE_MS);

/** From now on no launch with this token or an older one begins here. */
export const fenceOff = (dataDir: string, token: number): Promise<void> =>
  exclusive(pathOf(dataDir), async () => {
    const noted = await notedFence(dataDir);
    const fence = noted ?? (await readFence(dataDir));
    if (!noted || token > fence.stopped)
      await writeFence(dataDir, { ...fence, token: Math.max(fence.token, token), stopped: token });
  });

function refusedBy({ token: newest, launch: holder, stopped }: FenceFile, token: number, launch: string) {
  if (token <= stopped) return `token ${stopped} was stopped here`;
  if (token < newest) return `token ${newest} has been here`;
  return token === newest && holder !== launch ? `${holder} has this token` : undefined;
}

/** Whether a launch with this token may have been here: nodes are fenced for it before it begins, and so only those of the run. */
export async function mayHaveSeen(dataDir: string, token: number): Promise<boolean> {
  const fence = await notedFence(dataDir);
  return fence !== undefined && (fence.stopped >= token - 1 || fence.token >= token);
}

export const newestToken = async (dataDir: string): Promise<number> => (await readFence(dataDir)).token;

const NONE: FenceFile = { token: 0, stopped: 0 };

const readFence = async (dataDir: string): Promise<FenceFile> =>
  (await notedFence(dataDir)) ?? (await fenceOfLaunches(dataDir)) ?? NONE;

/** Where the note was lost, what launches left tells the least that a token must be. */
async function fenceOfLaunches(dataDir: string): Promise<FenceFile | undefined> {
  const launches = await launchesIn(dataDir);
  const newest = launches.sort((a, b) => b.token - a.token)[0];
  return newest && { token: newest.token, launch: launchName(newest), stopped: 0 };
}

/** What a node has seen is known from nowhere else: a fence taken for empty would let an older launch in. */
export class FenceDamaged extends Error {}

async function notedFence(dataDir: string): Promise<FenceFile | undefined> {
  const path = pathOf(dataDir);
  const fence: unknown = await readJson(path).catch((error: unknown) => {
    throw damaged(path, error);
  });
  if (fence === undefined || isFence(fence)) return fence;
  throw damaged(path, new Error(`${path} is no fence: ${JSON.stringify(fence).slice(0, 80)}`));
}

const isFence = (value: unknown): value is FenceFile =>
  [(value as FenceFile | null)?.token, (value as FenceFile | null)?.stopped].every(Number.isSafeInteger);

const damaged = (path: string, cause: unknown): FenceDamaged =>
  new FenceDamaged(
    `${(cause as Error).message}. It says which launches are too old for this node, and until it is right none begins here: write {"token":N,"stopped":N} there, with N the last launch token on the page of the pool (its query "status")`,
    { cause },
  );

async function writeFence(dataDir: string, fence: FenceFile): Promise<void> {
  await mkdir(join(dataDir, 'runs'), { recursive: true });
  await writeJson(pathOf(dataDir), fence);
}
