/** One question to a hub's interface, which answers at once or not at all. */
import { DownloadError, refusal } from './download.js';

const WITHIN_MS = 30_000;

/** @throws DownloadError where it cannot be reached, or refuses */
export async function askHub(url: string, headers: Record<string, string>, signal?: AbortSignal): Promise<Response> {
  const limit = AbortSignal.timeout(WITHIN_MS);
  const response = await fetch(url, {
    headers,
    signal: signal ? AbortSignal.any([signal, limit]) : limit,
  }).catch((error: unknown) => {
    const { cause = error } = error as Error;
    throw new DownloadError('cut', `${url} cannot be reached: ${(cause as Error).message}`);
  });
  if (!response.ok) throw refusal(url, response);
  return response;
}
