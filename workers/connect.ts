/** Connection to Temporal as every Temporal tool makes it: TEMPORAL_ADDRESS, profiles, TLS and API keys. */
import { Client, Connection } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import {
  DefaultLogger,
  makeTelemetryFilterString,
  NativeConnection,
  Runtime,
  type LogEntry,
  type MetricsExporterConfig,
  type RuntimeOptions,
  type TelemetryOptions,
} from '@temporalio/worker';
import { readCodecKeys } from './codec-keys.js';
import { readMetricsConfig, type MetricsConfig } from './config.js';
import { createPayloadCodec } from './payload-codec.js';

export interface Connected {
  native: NativeConnection;
  client: Client;
  namespace: string;
  /** Of both workers alike: what one seals the other opens. */
  dataConverter: DataConverter;
  close(): Promise<void>;
}

/**
 * One line of JSON a log entry, core's own included, to stderr; and the worker's figures, where somebody wants them.
 * @param labels of every line and every figure, such as the node
 */
export function installRuntime(labels: Record<string, string> = {}, metrics = readMetricsConfig()): void {
  const telemetryOptions: TelemetryOptions = {
    logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} },
    ...(metrics && { metrics: { ...exporterOf(metrics), globalTags: labels } }),
  };
  const options: RuntimeOptions = {
    logger: new DefaultLogger('INFO', ({ level, message, meta }: LogEntry) => {
      // "No workflows registered" is what a node worker is.
      if (message.includes('No workflows registered')) return;
      const entry = {
        at: new Date().toISOString(),
        level,
        message,
        ...labels,
        ...runOf(meta?.['workflowId']),
        ...meta,
      };
      process.stderr.write(`${JSON.stringify(entry, plain)}\n`);
    }),
    telemetryOptions,
  };
  try {
    Runtime.install(options);
  } catch (error) {
    if (!metrics || !('scrapedAt' in metrics) || !String(error).includes('prometheus')) throw error;
    throw new Error(`PRETRAIN_METRICS: cannot be scraped at ${metrics.scrapedAt}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** A collector takes HTTP at a path of its own, and gRPC at none. */
const exporterOf = (metrics: MetricsConfig): MetricsExporterConfig =>
  'scrapedAt' in metrics
    ? { prometheus: { bindAddress: metrics.scrapedAt, countersTotalSuffix: true, unitSuffix: true } }
    : { otel: { url: metrics.sentTo, http: new URL(metrics.sentTo).pathname !== '/' } };

/** Children of a run are called `<run>/data`, `<run>/prepare-<n>` and `<run>/gen-<n>`. */
export function runOf(workflowId: unknown): { run?: string; generation?: number } {
  if (typeof workflowId !== 'string' || workflowId.startsWith('pool-')) return {};
  const [, run, generation] = /^(.*?)(?:\/(?:data|prepare-\d+|gen-(\d+)))?$/s.exec(workflowId)!;
  return { ...(run && { run }), ...(generation && { generation: Number(generation) }) };
}

const plain = (_: string, value: unknown): unknown =>
  typeof value === 'bigint' ? value.toString() : value instanceof Error ? value.message : value;

/** How long an attempt to connect may take before somebody is told. */
const SLOW_MS = 3_000;

const sayNotYet = ({ address = 'localhost:7233' }: { address?: string }, why: string, then: string) =>
  void process.stderr.write(`no Temporal server at ${address} yet (${why}); ${then}\n`);

/** Connects, and goes on trying: a worker that starts before its server must not need a person. */
export async function connect(): Promise<Connected> {
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  const keys = readCodecKeys();
  const dataConverter = keys ? { payloadCodecs: [createPayloadCodec(keys)] } : {};
  for (let wait = 500; ; wait = Math.min(wait * 2, 10_000)) {
    const slow = setTimeout(() => sayNotYet(connectionOptions, 'it does not answer', 'waiting'), SLOW_MS);
    try {
      const native = await NativeConnection.connect(connectionOptions);
      const connection = await Connection.connect(connectionOptions);
      clearTimeout(slow);
      return {
        native,
        client: new Client({ connection, namespace, dataConverter }),
        namespace,
        dataConverter,
        close: async () => void (await Promise.allSettled([native.close(), connection.close()])),
      };
    } catch (error) {
      clearTimeout(slow);
      // What is no address will not become one.
      if (error instanceof TypeError) throw new Error(`TEMPORAL_ADDRESS: ${error.message}`, { cause: error });
      sayNotYet(connectionOptions, String((error as Error).message).split('\n')[0]!, 'trying again');
      await new Promise((done) => setTimeout(done, wait));
    }
  }
}
