/** Asks `hccn_tool` whether devices of this node reach those of others over their own network. */
import type { DevicePing, FailedPing, NodeActivities } from '../../workflows/contract.js';
import { reasonOf } from '../failures.js';
import type { NodeDeps } from '../node-deps.js';
import { pause } from '../process.js';
import { run } from '../shell.js';
import { step } from '../step.js';
import { fewAtOnce } from './at-once.js';
import { lastLine, reachesAll, TOOL_BUSY } from './hccn-tool.js';

/** Three packets, each of which may be waited for. */
const TIMEOUT_MS = 20_000;
/** The first packet to a new address may be lost while that is resolved; and only one may use the tool. */
const TRIES = 4;
const BUSY_PAUSE_MS = 1000;
/** What answered so recently is not asked again by the next launch, which is in a hurry. */
const PROVEN_FOR_MS = 3_600_000;

export function createPingDevices(deps: NodeDeps): NodeActivities['pingDevices'] {
  const answered = new Map<string, number>();
  const keyOf = ({ device, address }: DevicePing) => `${device} ${address}`;

  const ask = async (ping: DevicePing, signal: AbortSignal): Promise<FailedPing | undefined> => {
    if (performance.now() - (answered.get(keyOf(ping)) ?? -Infinity) < PROVEN_FOR_MS) return undefined;
    let said = '';
    for (let tries = 0; tries < TRIES; tries++) {
      said = await run(['hccn_tool', '-i', `${ping.device}`, '-ping', '-g', 'address', ping.address], {
        ...{ env: deps.env, cwd: deps.dataDir, timeout: TIMEOUT_MS, signal, what: 'hccn_tool' },
      }).catch(reasonOf);
      signal.throwIfAborted();
      if (reachesAll(said)) {
        answered.set(keyOf(ping), performance.now());
        return undefined;
      }
      if (TOOL_BUSY.test(said)) await pause(BUSY_PAUSE_MS);
      else if (tries > 0) break;
    }
    return { ...ping, said: lastLine(said) };
  };

  return ({ pings }) =>
    step({ node: deps.name, name: 'ping devices' }, async (signal) => {
      const failed = new Map<string, FailedPing>();
      await fewAtOnce(pings, async (ping) => {
        // One device of a peer that is not reached says enough, and each takes its time to give up.
        if (failed.has(ping.peer)) return;
        const failure = await ask(ping, signal);
        if (failure) failed.set(ping.peer, failure);
      });
      signal.throwIfAborted();
      return { failed: [...failed.values()] };
    });
}
