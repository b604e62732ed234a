/** How often to save, from what a save costs and how often nodes fail: Young's and Daly's formulas. Pure. */
import { CHECKPOINT_BYTES_A_PARAMETER, parametersOf } from './memory.js';
import { milliseconds } from './duration.js';
import type { ModelSizes } from './presets.js';
import type { RunSpec } from './spec.js';
import { allShards, type NodePlace } from './topology.js';

/** J. W. Young, 1974. Good while a save is short beside the time between failures. */
export const youngInterval = (saveSeconds: number, mtbfSeconds: number): number =>
  Math.sqrt(2 * saveSeconds * mtbfSeconds);

/** J. T. Daly, 2006, the higher-order estimate: seconds of training between the end of a save and the start of the next. */
export function dalyInterval(saveSeconds: number, mtbfSeconds: number): number {
  if (saveSeconds >= 2 * mtbfSeconds) return mtbfSeconds;
  const x = saveSeconds / (2 * mtbfSeconds);
  return youngInterval(saveSeconds, mtbfSeconds) * (1 + Math.sqrt(x) / 3 + x / 9) - saveSeconds;
}

const DAY_S = 86_400;

/** Days that one device runs between unexpected interruptions, as published. */
export const DEVICE_DAYS = {
  /** Ant's fleet (DLRover): 0.27 % of devices fail a day. */
  often: 1 / 0.0027,
  /** Llama 3: 419 unexpected interruptions in 54 days on 16,384 devices. */
  usual: (54 * 16_384) / 419,
};

export const mtbfSeconds = (devices: number, deviceDays: number): number => (deviceDays * DAY_S) / devices;

/** A guess: what one server writes to its own disks a second, with the serialisation before it. */
export const WRITE_BYTES_A_SECOND = 1e9;

export interface SaveAdvice {
  /** Assumed: bytes of the node that writes most, at `WRITE_BYTES_A_SECOND`. */
  saveSeconds: number;
  /** Seconds of training between two saves, for the two rates of `DEVICE_DAYS`. */
  often: number;
  usual: number;
}

const GRACE_SECONDS = { least: 20, most: 3600 };

/** Of `recovery.stopGrace`: bytes and disks may be other than assumed, and ranks that are killed in a save have lost it. */
export function usualGrace({ sizes, cluster, parallel }: Pick<RunSpec, 'sizes' | 'cluster' | 'parallel'>): string {
  const shards = allShards(parallel, cluster.nodes * cluster.devicesPerNode).length;
  const seconds = Math.ceil(3 * saveSecondsOf(sizes, Math.min(shards, cluster.devicesPerNode) / shards));
  return `${Math.min(GRACE_SECONDS.most, Math.max(GRACE_SECONDS.least, seconds))}s`;
}

/** @param share of the checkpoint that the node writes that writes most */
const saveSecondsOf = (sizes: ModelSizes, share: number): number =>
  (parametersOf(sizes).total * CHECKPOINT_BYTES_A_PARAMETER * share) / WRITE_BYTES_A_SECOND;

/** Ranks that are stopped are to have the time for a save. */
export const shortGrace = ({ recovery }: RunSpec, { saveSeconds }: SaveAdvice): string[] =>
  milliseconds(recovery.stopGrace) >= saveSeconds * 1000
    ? []
    : [
        `recovery.stopGrace is ${recovery.stopGrace}, and a save is assumed to take ${spoken(saveSeconds)}: ranks that are stopped in one are killed, and what they trained since the one before is lost`,
      ];

export function adviseSaves({ sizes, cluster }: RunSpec, places: NodePlace[], shards: number): SaveAdvice {
  const most = Math.max(...places.map(({ writes }) => writes.length));
  const saveSeconds = saveSecondsOf(sizes, most / shards);
  const devices = cluster.nodes * cluster.devicesPerNode;
  const at = (deviceDays: number) => dalyInterval(saveSeconds, mtbfSeconds(devices, deviceDays));
  return { saveSeconds, often: at(DEVICE_DAYS.often), usual: at(DEVICE_DAYS.usual) };
}

export function describeAdvice({ saveSeconds, often, usual }: SaveAdvice): string {
  return `advice, not a measurement: save every ${spoken(often)} to ${spoken(usual)} of training (Daly), for one interruption in ${Math.round(DEVICE_DAYS.often)} (DLRover's fleet) to ${Math.round(DEVICE_DAYS.usual)} (Llama 3) device-days; a save is assumed to take ${spoken(saveSeconds)} (${CHECKPOINT_BYTES_A_PARAMETER} bytes a parameter, ${WRITE_BYTES_A_SECOND / 1e9} GB/s a node). train.saveInterval is that over the seconds of an iteration, which only a run shows`;
}

const spoken = (seconds: number): string =>
  seconds < 90
    ? `${seconds.toPrecision(2)} s`
    : seconds < 5400
      ? `${Math.round(seconds / 60)} min`
      : `${(seconds / 3600).toFixed(1)} h`;
