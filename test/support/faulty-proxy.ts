import { createServer, request as ask, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface Seen {
  method: string;
  path: string;
  range: string | undefined;
}

/** What a fault does to one answer: end it by itself, cut it after some bytes, or change bytes; otherwise it passes. */
export type Fault = (request: IncomingMessage, response: ServerResponse, count: number) => Passing | 'handled';

export interface Passing {
  cutAfter?: number;
  change?: (chunk: Buffer) => Buffer;
}

/** A server that stands before a good one and is not. Counts what it is asked. */
export async function faultyProxy(target: string, fault: Fault): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? '/';
    seen.push({ method: request.method ?? '', path, range: request.headers.range });
    const passing = fault(request, response, seen.length);
    if (passing === 'handled') return;
    const { cutAfter = Infinity, change = (chunk: Buffer) => chunk } = passing;
    const { host: _, ...headers } = request.headers;
    const asked = ask(target + path, { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      let passed = 0;
      answer.on('data', (chunk: Buffer) => {
        const part = change(chunk).subarray(0, cutAfter - passed);
        passed += part.length;
        response.write(part);
        if (passed < cutAfter) return;
        answer.destroy();
        // Not destroyed, which would take back what is still on its way.
        response.socket?.end();
      });
      answer.on('end', () => response.end());
    });
    // Whoever goes while it is in line gives up its place there, as without a server between.
    response.once('close', () => asked.destroy());
    asked.once('error', () => response.destroy()).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}
