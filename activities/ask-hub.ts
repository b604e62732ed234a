/** One question to a hub's interface, or to a server about a file, which answers at once or not at all, and what of an answer may be believed. */
import { z } from 'zod';
import { causeOf, DownloadError, refusal } from './download.js';
import { timeLimit } from './time-limit.js';

const WITHIN_MS = 30_000;
/** A listing that does not end is no listing; a page has a hundred files or more. */
const MOST_PAGES = 100_000;
/** Of one question; a model's whole listing is one answer of ModelScope's. */
const LARGEST_ANSWER = 64 * 2 ** 20;
/** A run takes in far fewer, but says so by a better name: see list-source.ts. */
const MOST_FILES = 1_000_000;

export const fileSize = z.number().int().nonnegative();
export const fileDigest = z.string().regex(/^[0-9a-f]{64}$/);

/** @throws DownloadError where it cannot be reached, or refuses */
export async function askHub(
  url: string,
  headers: Record<string, string>,
  signal?: AbortSignal,
  method: 'GET' | 'HEAD' = 'GET',
): Promise<Response> {
  // For the body as well, which is read after this.
  const limit = timeLimit(WITHIN_MS, signal);
  const response = await fetch(url, { method, headers, signal: limit.signal }).catch((error: unknown) => {
    const { cause = error } = error as Error;
    throw new DownloadError('cut', `${url} cannot be reached: ${(cause as Error).message}`);
  });
  if (!response.ok) throw refusal(url, response);
  return response;
}

/** @throws DownloadError for what no hub answers: a proxy's own page, or a mirror that is broken */
export async function answered<T>(
  url: string,
  response: Response,
  schema: z.ZodType<T>,
  most = LARGEST_ANSWER,
): Promise<T> {
  const text = await textOf(url, response, most);
  return believed(url, schema, jsonIn(text), text);
}

/** Unpacked, which may be a thousand times what came over the line. */
async function textOf(url: string, { body }: Response, most: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body ?? []) {
      bytes += (chunk as Uint8Array).length;
      if (bytes > most) throw new DownloadError('wrong', `${url} answered more than ${most} bytes, as no hub does`);
      chunks.push(chunk as Uint8Array);
    }
  } catch (error) {
    if (error instanceof DownloadError) throw error;
    throw new DownloadError('cut', `${url} broke off: ${causeOf(error)}`);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The same of a part of an answer. */
export function believed<T>(url: string, schema: z.ZodType<T>, value: unknown, text = JSON.stringify(value)): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [first] = parsed.error.issues;
  const where = first?.path.length ? ` (${first.path.join('.')}: ${first.message})` : '';
  throw new DownloadError('wrong', `${url} answered what no hub does${where}: ${text.slice(0, 200)}`);
}

/** Pages of a listing, from the first one on, and how many files they named so far. */
export function requireEnd(page: number, files: number, url: string): void {
  if (page > MOST_PAGES || files > MOST_FILES) throw new DownloadError('wrong', `${url}: the listing does not end`);
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
