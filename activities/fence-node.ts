/** Who this node is and which launch token it has seen last, and how a run makes sure that nothing older trains here, and what is left then. */
import type { NodeActivities, NodeAnswer } from '../workflows/contract.js';
import { checkpointsDir } from '../workflows/plan.js';
import { exclusive } from './exclusive.js';
import { failure } from './failures.js';
import { endOlder, FenceDamaged, fenceOff, newestToken } from './fence.js';
import { grantAccess } from './grants.js';
import { checkpointsIn } from './list-checkpoints.js';
import type { NodeDeps } from './node-deps.js';
import { savesOf } from './seal-saves.js';
import { step } from './step.js';
import { besideProbes, leaveProbes, storageName } from './storage-probe.js';

export const createPingNode =
  (deps: NodeDeps): NodeActivities['pingNode'] =>
  async () => ({ ...(await answer(deps)), ...(deps.pool !== undefined && { pool: deps.pool }) });

export const createFenceNode =
  (deps: NodeDeps): NodeActivities['fenceNode'] =>
  ({ token, run, series, probe, access, joins, keep }) => {
    const { name: node, dataDir } = deps;
    return step({ node, name: `fence below token ${token}` }, async () => {
      await endWhatIsOlder(deps, token);
      const probes = { run: probe, token };
      await leaveProbes(deps, probes);
      const storage = await storageName(deps, probes);
      return {
        ...(await answer(deps)),
        ...(storage !== undefined && { storage }),
        ...(joins && { beside: await besideProbes(deps, probes) }),
        access: await grantAccess(dataDir, { run, series, ...(access !== undefined && { access }) }),
        // Only now: what has ended writes no more.
        checkpoints: await checkpointsIn(dataDir, checkpointsDir(series), keep),
        saves: await savesOf(dataDir, series),
      };
    });
  };

async function endWhatIsOlder({ name: node, dataDir }: NodeDeps, token: number): Promise<void> {
  try {
    await fenceOff(dataDir, token - 1);
  } catch (error) {
    if (!(error instanceof FenceDamaged)) throw error;
    throw failure('EnvCheckFailed', error.message, { nonRetryable: true, details: { node } });
  }
  if (await exclusive(`${dataDir}/launch`, () => endOlder(dataDir, token))) return;
  throw failure(
    'CommandFailed',
    'processes of an older launch do not end, not on SIGKILL either: they hang in the kernel. Restart the node',
    { details: { node, token } },
  );
}

async function answer({ name, address, port, devices, profile, tls, dataDir }: NodeDeps): Promise<NodeAnswer> {
  return { ...{ name, address, port, devices, profile }, ...(tls && { tls }), token: await newestToken(dataDir) };
}
