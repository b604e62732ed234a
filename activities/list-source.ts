/** What is at an address, pinned so that a retry, a day later, sees the same files or an error. */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { bytewise } from '../workflows/byte-order.js';
import type { NodeActivities, SourceFile, SourceListing } from '../workflows/contract.js';
import { hashFile, sha256 as digestOf } from './artifact.js';
import { askHub } from './ask-hub.js';
import { DownloadError } from './download.js';
import { globBase, isGlob, matching } from '../workflows/glob.js';
import { listRepo } from './hub.js';
import { withTokenFor } from './hub-tokens.js';
import { listModelScope } from './modelscope.js';
import type { NodeDeps } from './node-deps.js';
import { retrying } from './retrying.js';
import { listBucket } from './s3.js';
import { decoded, invalid, parseSource, type Source } from './source.js';
import { allowed, type Readable } from './source-roots.js';
import { step } from './step.js';

/** More than this is not hashed just to be listed; sizes and times of all files then stand for the content. */
const HASH_AT_MOST = 4 * 2 ** 30;
/** What the server takes as one answer is 2 MiB, sealed or not: above that it would say nothing of the source. */
const LARGEST_LISTING = 1_900_000;

export const createListSource =
  (deps: NodeDeps): NodeActivities['listSource'] =>
  ({ source, tokens }) =>
    step({ node: deps.name, name: `list ${source}` }, async (signal) => {
      const parsed = parseSource(source);
      const readable = withTokenFor(deps, parsed, tokens);
      const listing =
        parsed.kind === 'hf'
          ? await listRepo(readable, parsed, signal)
          : parsed.kind === 'modelscope'
            ? await listModelScope(readable, parsed, signal)
            : parsed.kind === 'http'
              ? await listUrl(parsed, signal)
              : parsed.kind === 's3'
                ? await listBucket(deps.name, parsed, signal)
                : await listPath(deps, parsed.path, signal);
      if (listing.files.length === 0) throw invalid(source, `nothing there has that name (${deps.name} looked)`);
      const told = Buffer.byteLength(JSON.stringify(listing));
      if (told > LARGEST_LISTING)
        throw invalid(
          source,
          `its list of ${listing.files.length} files takes ${told} bytes, and a run takes in ${LARGEST_LISTING} at most. Name fewer by a pattern, or put them into larger files`,
        );
      return { ...listing, files: listing.files.sort((a, b) => bytewise(a.path, b.path)) };
    });

async function listUrl(source: Source & { kind: 'http' }, signal: AbortSignal): Promise<SourceListing> {
  const { url, sha256 } = source;
  const { headers, length } = await retrying(() => lookAt(url, signal), { signal });
  if (!length) throw invalid(url, 'the server does not say how long the file is');
  const path = decoded(url, basename(new URL(url).pathname));
  if (!path) throw invalid(url, 'expected the address of a file');
  return {
    resolved: url + pinOf(url, sha256, headers),
    files: [{ path, size: Number(length), ...(sha256 && { sha256 }) }],
  };
}

/** Of servers that do not say, and of addresses that are signed for what reads the file. */
const NO_HEAD = [403, 405, 501];

/** What a server says of a file before it is read: as text, how many bytes it has; by its first byte where it does not say without. */
async function lookAt(
  url: string,
  signal: AbortSignal,
): Promise<{ headers: Headers; length: string | null | undefined }> {
  const identity = { 'accept-encoding': 'identity' };
  try {
    const { headers } = await askHub(url, identity, signal, 'HEAD');
    return { headers, length: headers.get('content-length') };
  } catch (error) {
    if (!(error instanceof DownloadError && NO_HEAD.includes(error.status ?? 0))) throw error;
    const { headers, status, body } = await askHub(url, { ...identity, range: 'bytes=0-0' }, signal);
    await body?.cancel();
    const all = /^bytes 0-0\/(\d+)$/.exec(headers.get('content-range') ?? '')?.[1];
    return { headers, length: status === 206 ? all : headers.get('content-length') };
  }
}

/** What a change of the file would change as well. */
function pinOf(url: string, sha256: string | undefined, headers: Headers): string {
  if (sha256) return `#sha256=${sha256}`;
  const [etag, modified] = [headers.get('etag'), headers.get('last-modified')];
  if (etag) return `#etag=${encodeURIComponent(etag)}`;
  if (modified) return `#modified=${encodeURIComponent(modified)}`;
  throw invalid(
    url,
    'the server gives neither an entity tag nor a time by which a change would be noticed. Say what the file is, by #sha256= after the address',
  );
}

async function listPath(node: Readable, path: string, signal: AbortSignal): Promise<SourceListing> {
  const base = await baseOf(node, path);
  await allowed(node, base);
  const names = base === dirname(path) && !isGlob(path) ? [basename(path)] : await readdir(base, { recursive: true });
  const wanted = matching(isGlob(path) ? path.slice(base.length + 1) : undefined);
  const found = await Promise.all(
    names
      .filter((name) => wanted(name) && !/(^|\/)\./.test(name))
      .map(async (name) => ({ name, stats: await stat(await allowed(node, join(base, name)), { bigint: true }) })),
  );
  const regular = found.filter(({ stats }) => stats.isFile());
  const isHashed = regular.reduce((sum, { stats }) => sum + Number(stats.size), 0) <= HASH_AT_MOST;
  const files: SourceFile[] = [];
  for (const { name, stats } of regular) {
    const digest = isHashed ? { sha256: await hashFile(join(base, name), { signal }) } : {};
    files.push({ path: name, size: Number(stats.size), ...digest });
  }
  const facts = regular.map(({ name, stats }) => `${stats.size} ${stats.mtimeNs} ${name}`).sort(bytewise);
  return { resolved: `file://${path}${isHashed ? '' : `#state=${digestOf(facts.join('\0'))}`}`, files };
}

/** The directory that names in a listing are relative to. */
export async function baseOf(node: Readable, path: string): Promise<string> {
  if (isGlob(path)) return globBase(path);
  const found = await allowed(node, path);
  return (await stat(found)).isDirectory() ? path.replace(/\/$/, '') : dirname(path);
}
