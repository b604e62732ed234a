/** Connection to Temporal as every Temporal tool makes it: TEMPORAL_ADDRESS, profiles, TLS and API keys. */
import { Client, Connection } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { DefaultLogger, makeTelemetryFilterString, NativeConnection, Runtime, type LogEntry } from '@temporalio/worker';

export interface Connected {
  native: NativeConnection;
  client: Client;
  namespace: string;
  close(): Promise<void>;
}

/** One line of JSON a log entry, core's own included, to stderr. */
export function installRuntime(): void {
  Runtime.install({
    logger: new DefaultLogger('INFO', ({ level, message, meta }: LogEntry) => {
      // "No workflows registered" is what a node worker is.
      if (message.includes('No workflows registered')) return;
      process.stderr.write(`${JSON.stringify({ at: new Date().toISOString(), level, message, ...meta }, plain)}\n`);
    }),
    telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} } },
  });
}

const plain = (_: string, value: unknown): unknown =>
  typeof value === 'bigint' ? value.toString() : value instanceof Error ? value.message : value;

/** Connects, and goes on trying: a worker that starts before its server must not need a person. */
export async function connect(): Promise<Connected> {
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  for (let wait = 500; ; wait = Math.min(wait * 2, 10_000)) {
    try {
      const native = await NativeConnection.connect(connectionOptions);
      const connection = await Connection.connect(connectionOptions);
      return {
        native,
        client: new Client({ connection, namespace }),
        namespace,
        close: async () => void (await Promise.allSettled([native.close(), connection.close()])),
      };
    } catch (error) {
      process.stderr.write(
        `no Temporal server at ${connectionOptions.address ?? 'localhost:7233'} yet (${String((error as Error).message).split('\n')[0]}); trying again\n`,
      );
      await new Promise((done) => setTimeout(done, wait));
    }
  }
}
