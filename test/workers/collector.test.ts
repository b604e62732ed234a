/** Figures of a worker, sent to collectors that answer as OpenTelemetry's does. */
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import * as http2 from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../../workers/config.js';

interface Sent {
  path: string | undefined;
  type: string | undefined;
  body: string;
}

const overHttp = (told: (sent: Sent) => void): Server =>
  createServer((request, response) => {
    let body = '';
    request.setEncoding('latin1').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      told({ path: request.url, type: request.headers['content-type'], body });
      response.end();
    });
  });

const EMPTY_ANSWER = Buffer.alloc(5);

const overGrpc = (told: (sent: Sent) => void): Server =>
  http2.createServer().on('stream', (stream: http2.ServerHttp2Stream, headers) => {
    let body = '';
    stream.setEncoding('latin1').on('data', (chunk: string) => (body += chunk));
    stream.on('end', () => {
      told({ path: headers[':path'], type: headers['content-type'], body });
      stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(EMPTY_ANSWER);
    });
  });

it.concurrent.for<[string, (told: (sent: Sent) => void) => Server, string, string, string]>([
  ['over HTTP', overHttp, '/v1/metrics', '/v1/metrics', 'application/x-protobuf'],
  ['over gRPC', overGrpc, '', '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export', 'application/grpc'],
])(
  'reach a collector of OpenTelemetry %s, with the name of the node',
  async ([, collect, at, path, type], { onTestFinished }) => {
    let server!: Server;
    const sent = new Promise<Sent>((told) => (server = collect(told)));
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    const { port } = server.address() as AddressInfo;
    const program = join(root, 'test/support/send-figures.ts');
    const worker = spawn(process.execPath, ['--import', 'tsx', program, `http://127.0.0.1:${port}${at}`], {
      stdio: 'inherit',
    });
    onTestFinished(() => {
      worker.kill('SIGKILL');
      server.close();
    });
    const { body, ...how } = await sent;
    expect(how).toEqual({ path, type });
    expect(body).toContain('pretrain_tried');
    expect(body).toContain('node-7');
  },
);
