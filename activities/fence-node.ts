/** Who this node is and which launch token it has seen last, and how a run makes sure that nothing older trains here. */
import type { NodeActivities, NodeAnswer } from '../workflows/contract.js';
import { exclusive } from './exclusive.js';
import { failure } from './failures.js';
import { endOlder, FenceDamaged, fenceOff, newestToken } from './fence.js';
import { grantAccess } from './grants.js';
import type { NodeDeps } from './node-deps.js';
import { toFailure, whileBeating } from './step.js';

export const createPingNode =
  (deps: NodeDeps): NodeActivities['pingNode'] =>
  () =>
    answer(deps);

export const createFenceNode =
  (deps: NodeDeps): NodeActivities['fenceNode'] =>
  async ({ token, run, series }) => {
    const { name: node, dataDir } = deps;
    try {
      await fenceOff(dataDir, token - 1);
      const ended = await whileBeating(() => exclusive(`${dataDir}/launch`, () => endOlder(dataDir, token)));
      if (!ended)
        throw failure(
          'CommandFailed',
          'processes of an older launch do not end, not on SIGKILL either: they hang in the kernel. Restart the node',
          { details: { node, token } },
        );
      return { ...(await answer(deps)), access: await grantAccess(dataDir, { run, series }) };
    } catch (error) {
      const name = `fence below token ${token}`;
      if (!(error instanceof FenceDamaged)) throw toFailure(error, { node, name });
      throw failure('EnvCheckFailed', `${node}: ${name}: ${error.message}`, { nonRetryable: true, details: { node } });
    }
  };

async function answer({ name, address, port, devices, profile, tls, dataDir }: NodeDeps): Promise<NodeAnswer> {
  return { ...{ name, address, port, devices, profile }, ...(tls && { tls }), token: await newestToken(dataDir) };
}
