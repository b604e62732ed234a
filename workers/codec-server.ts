/** Opens and seals payloads for Temporal's CLI and UI, as they ask for it: `POST /codec/decode`, `POST /codec/encode`. */
import type { Payload, PayloadCodec } from '@temporalio/common';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { cors } from 'hono/cors';
import { z } from 'zod';

/** Far above what a server takes in one message. */
const MOST_BYTES = 16 << 20;

const base64 = z.base64();
/** `Payloads` in protobuf's JSON. */
const asked = z.object({
  // Where there are none, protobuf leaves the list out.
  payloads: z
    .array(z.object({ metadata: z.record(z.string(), base64).optional(), data: base64.optional() }))
    .default([]),
});
type Coded = z.infer<typeof asked>['payloads'][number];

/** @param pages origins (`http://127.0.0.1:8233`) of pages that a browser may let ask */
export function codecRoutes(codec: PayloadCodec, pages: string[]): Hono {
  const app = new Hono();
  app.use(cors({ origin: pages, credentials: true, allowHeaders: ['Authorization', 'Content-Type', 'X-Namespace'] }));
  for (const way of ['encode', 'decode'] as const)
    app.post(`/${way}`, bodyLimit({ maxSize: MOST_BYTES }), async (c) => {
      const { data, error } = asked.safeParse(await c.req.json().catch(() => undefined));
      if (error) return c.text(`expected {"payloads": […]} in protobuf's JSON`, 400);
      const done = await codec[way](data.payloads.map(fromJson)).catch((reason: unknown) => reason as Error);
      return done instanceof Error ? c.text(done.message, 400) : c.json({ payloads: done.map(toJson) });
    });
  return app;
}

const fromJson = ({ metadata = {}, data = '' }: Coded): Payload => ({
  metadata: Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name, Buffer.from(value, 'base64')])),
  data: Buffer.from(data, 'base64'),
});

const toJson = ({ metadata, data }: Payload): Coded => ({
  metadata: Object.fromEntries(Object.entries(metadata ?? {}).map(([name, value]) => [name, coded(value)])),
  data: coded(data),
});

const coded = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString('base64');
