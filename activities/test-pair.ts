/** Collectives between this node and another, right or wrong and how fast; what did well is remembered for an hour. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import type { NodeActivities } from '../workflows/contract.js';
import { faultOf } from '../workflows/fault-rules.js';
import { writeJson } from './atomic.js';
import { endLaunched } from './end-launched.js';
import { failure } from './failures.js';
import type { NodeDeps } from './node-deps.js';
import { mark, ownerOf, TOKEN } from './process.js';
import { run } from './shell.js';
import { step } from './step.js';

const PROVEN_FOR_MS = 3_600_000;
const ENDS_WITHIN_MS = 10_000;

const noteOf = (dataDir: string): string => join(dataDir, 'collectives.json');

/** Whether collectives with another node went well within the hour. */
export const isPairProven = async (dataDir: string): Promise<boolean> =>
  stat(noteOf(dataDir)).then(
    // A clock that was set back proves nothing.
    ({ mtimeMs }) => Math.abs(Date.now() - mtimeMs) < PROVEN_FOR_MS,
    () => false,
  );

export const createTestPair =
  (deps: NodeDeps): NodeActivities['testPair'] =>
  ({ peer, token, torchrun, env, limitSeconds }) => {
    const { name: node, dataDir, profile, python, pairTest } = deps;
    const what = `collectives with ${peer}`;
    return step({ node, name: what }, async (signal) => {
      const backend = profile === 'npu' ? 'hccl' : 'gloo';
      const flags = ['--backend', backend, '--limit', String(limitSeconds)];
      const argv = [python, '-m', 'torch.distributed.run', ...torchrun, pairTest, ...flags];
      const marked = { [TOKEN]: mark(token, await ownerOf(dataDir)), PYTHONUNBUFFERED: '1' };
      const printed = await run(argv, {
        ...{ cwd: dataDir, env: { ...deps.env, ...env, ...marked }, signal },
        ...{ timeout: limitSeconds * 1000, what: `${node}: ${what}` },
        // torchrun then waits for that of the other node, which may be gone: that says nothing of collectives.
        enough: { isIn: (text) => secondsIn(text) !== undefined, endsWithinMs: ENDS_WITHIN_MS },
      })
        .catch((error: unknown) => {
          throw signal.aborted ? error : inWords(error, `${node}: ${what}`);
        })
        // Ranks have sessions of their own: what ends torchrun may leave them.
        .finally(async () => {
          if (await endLaunched(dataDir, (of) => of === token, 0)) return;
          throw failure('CommandFailed', `${node}: ${what}: a process of it does not end when it is killed`, {
            details: { node },
          });
        });
      const seconds = secondsIn(printed);
      if (seconds === undefined)
        throw failure('CommandFailed', `${node}: ${what}: exit code 0, but no figure was printed`, {
          details: { node, printed: printed.slice(-500) },
        });
      await writeJson(noteOf(dataDir), { peer, seconds, at: new Date().toISOString() });
      return { seconds };
    });
  };

function secondsIn(printed: string): number | undefined {
  const line = printed.split('\n').findLast((text) => /^\{"seconds".*\}$/.test(text));
  const value: unknown = line === undefined ? undefined : (JSON.parse(line) as { seconds?: unknown }).seconds;
  return typeof value === 'number' && value > 0 ? value : undefined;
}

/** torchrun ends with a table of its own; the ranks' errors stand before it. */
function inWords(error: unknown, what: string): unknown {
  const details = error instanceof ApplicationFailure ? (error.details?.[0] as { tail?: string }) : undefined;
  const lines = (details?.tail ?? '').split('\n').map((line) => line.replace(/^\[\w+\]:/, '').trim());
  const told =
    lines.find((line) => faultOf(line)) ?? lines.findLast((line) => /^[\w.]*(Error|Exception)\b.*:/.test(line));
  return told === undefined ? error : failure('CommandFailed', `${what}: ${told.slice(0, 300)}`, { cause: error });
}
