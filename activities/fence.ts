/** The node's memory of the newest launch token it has seen: older ones are refused and ended, for ever. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { failure } from './failures.js';
import { readJson, writeJson } from './generation-files.js';
import type { NodeDeps } from './node-deps.js';
import { endLaunched } from './process.js';

interface FenceFile {
  /** Newest token that was launched or stopped here. */
  token: number;
  /** Newest token that was stopped: not even the same one may start again. */
  stopped: number;
}

const GRACE_MS = 5000;

const pathOf = ({ dataDir }: NodeDeps): string => join(dataDir, 'runs', 'fence.json');

/**
 * Lets a launch with this token begin: refuses it if a newer one was here, or if it was stopped already, and ends
 * what older ones left.
 */
export async function fenceBelow(deps: NodeDeps, token: number): Promise<void> {
  const fence = (await readJson<FenceFile>(pathOf(deps))) ?? { token: 0, stopped: 0 };
  if (token < fence.token || token <= fence.stopped)
    throw failure(
      'CommandFailed',
      `${deps.name}: launch with token ${token} refused: token ${Math.max(fence.token, fence.stopped)} has been here`,
      {
        nonRetryable: true,
        details: { node: deps.name, token, newest: fence.token },
      },
    );
  await mkdir(join(deps.dataDir, 'runs'), { recursive: true });
  await writeJson(pathOf(deps), { ...fence, token });
  await endLaunched(deps.dataDir, (older) => older < token, GRACE_MS);
}

/** From now on no launch with this token or an older one begins here. */
export async function fenceOff(deps: NodeDeps, token: number): Promise<void> {
  const fence = (await readJson<FenceFile>(pathOf(deps))) ?? { token: 0, stopped: 0 };
  await mkdir(join(deps.dataDir, 'runs'), { recursive: true });
  await writeJson(pathOf(deps), { token: Math.max(fence.token, token), stopped: Math.max(fence.stopped, token) });
}
