/** The parts of the Hugging Face hub's HTTP interface that are needed to pin, list and fetch a repository. */
import { z } from 'zod';
import type { SourceFile, SourceListing } from '../workflows/contract.js';
import { answered, askHub, fileDigest, fileSize, requireEnd } from './ask-hub.js';
import { DownloadError } from './download.js';
import { failure } from './failures.js';
import { matching } from '../workflows/glob.js';
import type { NodeDeps } from './node-deps.js';
import { retrying } from './retrying.js';
import type { Source } from './source.js';

type HubDeps = Pick<NodeDeps, 'name' | 'hfEndpoint' | 'hfToken'>;
type HubSource = Source & { kind: 'hf' };
type RepoType = 'datasets' | 'models';

const commit = z.object({ sha: z.string().regex(/^[\w.-]{1,100}$/) });
const tree = z.array(
  z.object({
    type: z.string(),
    path: z.string().min(1),
    size: fileSize,
    oid: z.string(),
    lfs: z.object({ oid: fileDigest, size: fileSize }).optional(),
  }),
);

const endpointOf = ({ hfEndpoint }: HubDeps): string => (hfEndpoint ?? 'https://huggingface.co').replace(/\/$/, '');

export const hubHeaders = ({ hfToken }: HubDeps): Record<string, string> =>
  hfToken ? { authorization: `Bearer ${hfToken}` } : {};

const escaped = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

/** Pins the revision to a commit and lists its files. Names that begin with a dot are the hub's own and left out. */
export async function listRepo(deps: HubDeps, source: HubSource, signal?: AbortSignal): Promise<SourceListing> {
  const { type, sha } = await resolveRepo(deps, source, signal);
  const { id, glob } = source;
  const wanted = matching(glob);
  const files: SourceFile[] = [];
  let url: string | undefined = `${endpointOf(deps)}/api/${type}/${id}/tree/${sha}?recursive=true`;
  for (let page = 1; url; page++) {
    requireEnd(page, files.length, url);
    const response: Response = await ask(deps, url, signal);
    for (const entry of await answered(url, response, tree))
      if (entry.type === 'file' && wanted(entry.path) && !/(^|\/)\./.test(entry.path))
        files.push({
          path: entry.path,
          size: entry.lfs?.size ?? entry.size,
          ...(entry.lfs ? { sha256: entry.lfs.oid } : { blob: entry.oid }),
        });
    url = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
  }
  return { resolved: `hf://${type}/${id}@${sha}${glob ? `/${glob}` : ''}`, files };
}

export function repoFileUrl(deps: HubDeps, { type, id, revision }: HubSource, path: string): string {
  return `${endpointOf(deps)}/${type === 'datasets' ? 'datasets/' : ''}${id}/resolve/${encodeURIComponent(revision)}/${escaped(path)}`;
}

/**
 * A source does not say whether it is a dataset or a model: one with a glob is looked for among datasets first. The
 * hub answers 401 to strangers who ask for what does not exist, so that counts as "not here" too.
 */
async function resolveRepo(
  deps: HubDeps,
  { type, id, revision, glob }: HubSource,
  signal?: AbortSignal,
): Promise<{ type: RepoType; sha: string }> {
  const types: RepoType[] = type ? [type] : glob ? ['datasets', 'models'] : ['models', 'datasets'];
  const refusals: DownloadError[] = [];
  for (const candidate of types) {
    const url = `${endpointOf(deps)}/api/${candidate}/${id}/revision/${encodeURIComponent(revision)}`;
    try {
      const { sha } = await answered(url, await ask(deps, url, signal), commit);
      return { type: candidate, sha };
    } catch (error) {
      if (!(error instanceof DownloadError && [401, 403, 404].includes(error.status ?? 0))) throw error;
      refusals.push(error);
    }
  }
  throw notThere(deps, `${id}@${revision}`, refusals);
}

/** A listing's next page may be elsewhere, and the token is for the hub alone. */
function ask(deps: HubDeps, url: string, signal?: AbortSignal): Promise<Response> {
  const headers = url.startsWith(`${endpointOf(deps)}/`) ? hubHeaders(deps) : {};
  return retrying(() => askHub(url, headers, signal), { signal });
}

function notThere({ name, hfToken, ...deps }: HubDeps, repo: string, refusals: DownloadError[]) {
  const gated = refusals.some(({ status }) => status === 401 || status === 403);
  const advice = !gated
    ? 'Check its name and revision'
    : hfToken
      ? 'Check its name, and that the token of this node may read it'
      : 'Check its name; if it is gated, set HF_TOKEN on the node';
  return failure(
    'InvalidInput',
    `${name}: ${endpointOf({ name, ...deps })} has no ${repo} for us (${refusals.map(({ status }) => status).join(', ')}). ${advice}`,
    { nonRetryable: true, details: { repo, refusals: refusals.map(({ message }) => message) } },
  );
}
