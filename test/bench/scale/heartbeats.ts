/** What watchers' heartbeats ask of the server, from a run file's own settings: each is a transaction on its workflow's row. */
import { milliseconds } from '../../../workflows/duration.js';
import { parseRunSpec } from '../../../workflows/spec.js';

/** The SDK holds heartbeats back for 0.8 of their time-out, and for a minute at most. */
const held = (seconds: number): number => Math.min(0.8 * seconds, 60);
/** Transactions a second on one row that a server takes well, and that it does not. */
const WELL = 17;
const TOO_MANY = 125;

/** One line: a gang's heartbeats a second at the default time-out, beside the known limits; nodes that also copy beat twice. */
export function heartbeatLoad(nodes: number): string {
  const parsed = parseRunSpec(
    {
      ...{ model: { preset: 'qwen3-tiny' }, tokenizer: { source: 'hf://a/b' }, dataset: { source: 'hf://a/b/*' } },
      ...{
        cluster: { nodes: 1, devicesPerNode: 1 },
        train: { iterations: 1, globalBatch: 1, seqLength: 128, saveInterval: 1 },
      },
    },
    's',
  );
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  const timeout = milliseconds(parsed.spec.recovery.heartbeat) / 1000;
  const [least, most] = [nodes / held(timeout), (2 * nodes) / held(timeout)];
  return `${nodes} nodes with recovery.heartbeat ${timeout} s, the default: ${least.toFixed(1)} to ${most.toFixed(1)} heartbeats a second on one row; ${WELL} is well, ${TOO_MANY} is too many, and recovery.heartbeat "${Math.ceil(nodes / WELL / 0.8)}s" is ${WELL}`;
}
