/** Questions to peers that may be away for a while; one that stays silent may have another address by now. */
import type { Peer } from '../workflows/contract.js';
import { DownloadError } from './download.js';
import { failure } from './failures.js';
import type { NodeDeps } from './node-deps.js';
import { askBytes } from './peer-client.js';

const ASK_WITHIN_MS = 5000;

export type PatientAsk = (peer: Peer, path: string) => Promise<Buffer | 'gone' | undefined>;

/**
 * @returns what a peer answers; `gone` where it says that there will be nothing, `undefined` where it has nothing to say
 *   yet, or does not answer
 * @throws once a peer has not answered for `patienceMs`. Not to be tried again with the same address: whoever asked
 *   for this step can find out the present one
 */
export function createPatientAsk(deps: NodeDeps, patienceMs: number): PatientAsk {
  const silentSince = new Map<string, number>();
  return async (peer, path) => {
    const askedAt = performance.now();
    try {
      const answer = await askBytes(deps, peer, path, { idleMs: ASK_WITHIN_MS });
      silentSince.delete(peer.name);
      return answer;
    } catch (error) {
      if (!(error instanceof DownloadError)) throw error;
      if ((error.status === 404 || error.status === 410) && (await isItself(deps, peer))) {
        silentSince.delete(peer.name);
        return error.status === 410 ? 'gone' : undefined;
      }
      const since = silentSince.get(peer.name) ?? askedAt;
      silentSince.set(peer.name, since);
      if (performance.now() - since < patienceMs) return undefined;
      const why = `${peer.name} does not answer at ${peer.url}: ${error.message.replace(`${peer.url}${path} `, '')}`;
      throw silent(deps.name, peer.name, why, error);
    }
  };
}

/** Another node gives nothing: no fault of this one, and not to be asked again before its present address is known. */
export const silent = (node: string, peer: string, why: string, cause?: Error) =>
  failure('CommandFailed', why, { nonRetryable: true, details: { node, silent: peer, why }, cause });

/** Another server may listen where the peer did, and have nothing of what it is asked for either. */
const isItself = (deps: NodeDeps, peer: Peer): Promise<boolean> =>
  askBytes(deps, peer, '/health', { idleMs: ASK_WITHIN_MS }).then(
    (name) => name.toString('utf8') === peer.name,
    () => false,
  );
