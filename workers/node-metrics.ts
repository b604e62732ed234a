/** Figures of a node that only the node itself knows: how full the disk with its data is, what it copies. */
import { statfs } from 'node:fs/promises';
import type { MetricMeter } from '@temporalio/common';
import { regularly } from './regularly.js';

const LOOK_EVERY_MS = 15_000;

/** Each with its help text. A name is for dashboards and alerts of others: change none. */
export const NODE_GAUGES = {
  pretrain_node_data_free_bytes: 'What is free on the file system of the data directory, for the worker itself',
  pretrain_node_data_size_bytes: 'Size of the file system of the data directory',
} as const;

/** Likewise. Prometheus shows them with `_total` after the name. */
export const NODE_COUNTERS = {
  pretrain_node_transfer_received_bytes:
    'Bytes of blocks that came from other nodes, those that came in vain among them',
  pretrain_node_transfer_sent_bytes: 'Bytes of blocks that went to other nodes',
} as const;

/** What is to be told of each copy from and to other nodes. */
export function countTransfers(meter: MetricMeter): Record<'onReceived' | 'onSent', (bytes: number) => void> {
  const counter = (name: keyof typeof NODE_COUNTERS) => {
    const counted = meter.createCounter(name, undefined, NODE_COUNTERS[name]);
    // From the beginning: a rate would miss what came before the first sample.
    counted.add(0);
    return (bytes: number) => counted.add(bytes);
  };
  return {
    onReceived: counter('pretrain_node_transfer_received_bytes'),
    onSent: counter('pretrain_node_transfer_sent_bytes'),
  };
}

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
