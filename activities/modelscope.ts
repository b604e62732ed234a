/**
 * The parts of ModelScope's HTTP interface that are needed to list and fetch a repository, as its own SDK uses them
 * (modelscope 1.3x: `hub/api.py`, `hub/file_download.py`). It has no name for a commit in its listings: what pins the
 * content is each file's SHA-256.
 */
import { z } from 'zod';
import type { SourceFile, SourceListing } from '../workflows/contract.js';
import { matching } from '../workflows/glob.js';
import { answered, askHub, believed, fileDigest, fileSize, requireEnd } from './ask-hub.js';
import { DownloadError } from './download.js';
import { failure } from './failures.js';
import type { NodeDeps } from './node-deps.js';
import { retrying } from './retrying.js';
import type { Source } from './source.js';

type Deps = Pick<NodeDeps, 'name' | 'modelscopeEndpoint' | 'modelscopeToken'>;
type ModelScopeSource = Source & { kind: 'modelscope' };
type RepoType = 'datasets' | 'models';

/** What is refused says so by its code; then there may be anything in `Data`. */
const envelope = z.object({ Code: z.number(), Message: z.string().nullish(), Data: z.unknown() });
const about = z.object({ Id: z.number().int().nonnegative() });
const entry = z.object({
  Path: z.string().min(1),
  Type: z.string(),
  Size: fileSize,
  /** Empty of directories. */
  Sha256: z.union([fileDigest, z.literal('')]).nullish(),
});
type Entry = z.infer<typeof entry>;
const listed = z.object({ Files: z.array(entry).nullish() }).nullish();

/** Of a dataset's tree; a model's comes in one answer. */
const PAGE = 100;

const endpointOf = ({ modelscopeEndpoint }: Deps): string =>
  (modelscopeEndpoint ?? 'https://www.modelscope.cn').replace(/\/$/, '');

/** A token is given as the session that a browser would have. */
export const modelscopeHeaders = ({ modelscopeToken }: Deps): Record<string, string> =>
  modelscopeToken ? { cookie: `m_session_id=${modelscopeToken}` } : {};

/** Names that begin with a dot are the hub's own and left out. */
export async function listModelScope(
  deps: Deps,
  source: ModelScopeSource,
  signal?: AbortSignal,
): Promise<SourceListing> {
  const { id, revision, glob } = source;
  const { type, entries } = await findRepo(deps, source, signal);
  const wanted = matching(glob);
  const files: SourceFile[] = entries
    .filter(({ Type, Path }) => Type !== 'tree' && wanted(Path) && !/(^|\/)\./.test(Path))
    .map(({ Path, Size, Sha256 }) => ({ path: Path, size: Size, ...(Sha256 && { sha256: Sha256 }) }));
  return { resolved: `modelscope://${type}/${id}@${revision}${glob ? `/${glob}` : ''}`, files };
}

/** Answers itself for small files, and sends to another server for those in LFS. */
export const modelscopeFileUrl = (deps: Deps, { type, id, revision }: ModelScopeSource, path: string): string =>
  `${endpointOf(deps)}/api/v1/${type ?? 'models'}/${id}/repo?${query({ Revision: revision, FilePath: path })}`;

const query = (fields: Record<string, string | number>): string =>
  Object.entries(fields)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');

/** A source does not say whether it is a dataset or a model: one with a glob is looked for among datasets first. */
async function findRepo(
  deps: Deps,
  { type, id, revision, glob }: ModelScopeSource,
  signal?: AbortSignal,
): Promise<{ type: RepoType; entries: Entry[] }> {
  const types: RepoType[] = type ? [type] : glob ? ['datasets', 'models'] : ['models', 'datasets'];
  const refusals: string[] = [];
  for (const candidate of types) {
    const list = candidate === 'models' ? listModel : listDataset;
    const found = await list(deps, id, revision, signal);
    if (Array.isArray(found)) return { type: candidate, entries: found };
    refusals.push(found.refused);
  }
  throw notThere(deps, `${id}@${revision}`, refusals);
}

type Found = Entry[] | { refused: string };

async function listModel(deps: Deps, id: string, revision: string, signal?: AbortSignal): Promise<Found> {
  const path = `models/${id}/repo/files?${query({ Revision: revision, Recursive: 'True' })}`;
  const found = await ask(deps, path, listed, signal);
  return 'refused' in found ? found : (found.data?.Files ?? []);
}

/** Its tree is asked for by number. */
async function listDataset(deps: Deps, id: string, revision: string, signal?: AbortSignal): Promise<Found> {
  const dataset = await ask(deps, `datasets/${id}`, about, signal);
  if ('refused' in dataset) return dataset;
  const entries: Entry[] = [];
  for (let page = 1; ; page++) {
    const fields = { Revision: revision, Root: '/', Recursive: 'True', PageNumber: page, PageSize: PAGE };
    const path = `datasets/${dataset.data.Id}/repo/tree?${query(fields)}`;
    requireEnd(page, entries.length, path);
    const found = await ask(deps, path, listed, signal);
    if ('refused' in found) return found;
    const files = found.data?.Files ?? [];
    entries.push(...files);
    if (files.length < PAGE) return entries;
  }
}

/** What is not there is refused by status, or by a code in an answer of status 200. */
async function ask<T>(
  deps: Deps,
  path: string,
  schema: z.ZodType<T>,
  signal?: AbortSignal,
): Promise<{ data: T } | { refused: string }> {
  const url = `${endpointOf(deps)}/api/v1/${path}`;
  try {
    const response = await retrying(() => askHub(url, modelscopeHeaders(deps), signal), { signal });
    const { Code, Message, Data } = await answered(url, response, envelope);
    return Code === 200 ? { data: believed(url, schema, Data) } : { refused: `${Code} ${Message ?? ''}`.trim() };
  } catch (error) {
    if (!(error instanceof DownloadError && [401, 403, 404].includes(error.status ?? 0))) throw error;
    return { refused: String(error.status) };
  }
}

function notThere(deps: Deps, repo: string, refusals: string[]) {
  const advice = deps.modelscopeToken
    ? 'Check its name and revision, and that the token of this node may read it'
    : 'Check its name and revision; if it is private, set MODELSCOPE_API_TOKEN on the node';
  return failure(
    'InvalidInput',
    `${deps.name}: ${endpointOf(deps)} has no ${repo} for us (${refusals.join(', ')}). ${advice}`,
    { nonRetryable: true, details: { repo, refusals } },
  );
}
