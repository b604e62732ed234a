/** Asks `hccn_tool` whether devices of this node reach those of others over their own network. */
import type { DevicePing, FailedPing, NodeActivities } from '../../workflows/contract.js';
import { reasonOf } from '../failures.js';
import type { NodeDeps } from '../node-deps.js';
import { pause } from '../process.js';
import { run } from '../shell.js';
import { step } from '../step.js';
import { lastLine, pingOf, reachesAll, TOOL_BUSY } from './hccn-tool.js';

/** Three packets, each of which may be waited for. */
const TIMEOUT_MS = 20_000;
/** The first packet to a new address may be lost while that is resolved. */
const TRIES = 2;
/** Whoever watches devices uses the tool as well, and one at a time may. */
const BUSY_PAUSES_MS = [200, 400, 800, 1600];
/** What answered so recently is not asked again by the next launch, which is in a hurry. */
const PROVEN_FOR_MS = 3_600_000;

export function createPingDevices(deps: NodeDeps): NodeActivities['pingDevices'] {
  const answered = new Map<string, number>();
  const keyOf = ({ device, address }: DevicePing) => `${device} ${address}`;

  /** What the tool answers, but for that somebody else uses it; nothing where it is never free. */
  const answerTo = async ({ device, address }: DevicePing, signal: AbortSignal): Promise<string | undefined> => {
    for (const pauseMs of [...BUSY_PAUSES_MS, 0]) {
      const said = await run(['hccn_tool', '-i', `${device}`, ...pingOf(address)], {
        ...{ env: deps.env, cwd: deps.dataDir, timeout: TIMEOUT_MS, signal, what: 'hccn_tool' },
      }).catch(reasonOf);
      signal.throwIfAborted();
      if (!TOOL_BUSY.test(said)) return said;
      await pause(pauseMs);
    }
    return undefined;
  };

  const ask = async (ping: DevicePing, signal: AbortSignal): Promise<FailedPing | undefined> => {
    if (performance.now() - (answered.get(keyOf(ping)) ?? -Infinity) < PROVEN_FOR_MS) return undefined;
    let said: string | undefined;
    for (let tries = 0; tries < TRIES; tries++) {
      said = await answerTo(ping, signal);
      // Says nothing of the network.
      if (said === undefined) return undefined;
      if (reachesAll(said)) {
        answered.set(keyOf(ping), performance.now());
        return undefined;
      }
    }
    return { ...ping, said: lastLine(said!) };
  };

  return ({ pings }) =>
    step({ node: deps.name, name: 'ping devices' }, async (signal) => {
      const failed = new Map<string, FailedPing>();
      for (const ping of pings) {
        // One device of a peer that is not reached says enough, and each takes its time to give up.
        if (failed.has(ping.peer)) continue;
        const failure = await ask(ping, signal);
        if (failure) failed.set(ping.peer, failure);
      }
      return { failed: [...failed.values()] };
    });
}
