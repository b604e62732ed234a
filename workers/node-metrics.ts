/** Figures of a node that only the node itself knows: how full the disk with its data is. */
import { statfs } from 'node:fs/promises';
import type { MetricMeter } from '@temporalio/common';
import { regularly } from './regularly.js';

const LOOK_EVERY_MS = 15_000;

/** Each with its help text. A name is for dashboards and alerts of others: change none. */
export const NODE_GAUGES = {
  pretrain_node_data_free_bytes: 'What is free on the file system of the data directory, for the worker itself',
  pretrain_node_data_size_bytes: 'Size of the file system of the data directory',
} as const;

/** @returns what ends it */
export function measureNode(dataDir: string, meter: MetricMeter, warn: (reason: unknown) => void): () => void {
  const gauge = (name: keyof typeof NODE_GAUGES) => meter.createGauge(name, 'float', undefined, NODE_GAUGES[name]);
  const [free, size] = [gauge('pretrain_node_data_free_bytes'), gauge('pretrain_node_data_size_bytes')];
  const look = async (): Promise<void> => {
    const { bavail, blocks, bsize } = await statfs(dataDir);
    free.set(bavail * bsize);
    size.set(blocks * bsize);
  };
  void look().catch(warn);
  return regularly(LOOK_EVERY_MS, look, warn);
}
