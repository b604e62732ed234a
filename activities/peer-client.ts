/** How a node asks another one: with the run's token, over TLS where the cluster has it, no faster than it may. */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { Peer } from '../workflows/contract.js';
import { watchForAbsence } from './absence.js';
import type { Block } from './blocks.js';
import { causeOf, DownloadError, isDiskError } from './download.js';
import type { NodeDeps } from './node-deps.js';
import type { WithSpace } from './promised-space.js';
import { timeLimit } from './time-limit.js';

export interface Asker extends Pick<NodeDeps, 'name' | 'dataDir' | 'peerCa' | 'copyRate' | 'onReceived'> {
  /** Where another process counts what is brought to this node's disks. */
  withSpace?: WithSpace;
}

export interface AskOptions {
  signal?: AbortSignal | undefined;
  /** A peer that sends nothing for this long is given up. */
  idleMs: number;
}

const agents = new Map<string | undefined, Agent>();

function agentOf({ peerCa: ca }: Asker): Agent {
  const agent = agents.get(ca) ?? new Agent({ connect: ca ? { ca } : {}, headersTimeout: 0, bodyTimeout: 0 });
  agents.set(ca, agent);
  return agent;
}

/** It did not answer at all, or its machine does not any more. */
export class PeerUnreached extends DownloadError {
  constructor(message: string) {
    super('cut', message);
  }
}

/**
 * @throws DownloadError when the peer refuses, cannot be reached, or breaks off while `read` reads its answer;
 *   `PeerUnreached` where there is nobody to answer
 */
async function ask<T>(
  asker: Asker,
  peer: Peer,
  path: string,
  { signal, idleMs }: AskOptions,
  read: (body: Readable, touch: () => void) => Promise<T>,
): Promise<T> {
  const url = `${peer.url}${path}`;
  const idle = timeLimit(idleMs, signal);
  const gone = new AbortController();
  const absence = watchForAbsence(peer, { onAbsent: () => gone.abort() });
  const touch = (): void => {
    idle.touch();
    absence.touch();
  };
  let answered = false;
  try {
    const { statusCode, body } = await request(url, {
      dispatcher: agentOf(asker),
      headers: peer.token ? { authorization: `Bearer ${peer.token}` } : {},
      signal: AbortSignal.any([idle.signal, gone.signal]),
      // In line for its turn.
      onInfo: touch,
    });
    answered = true;
    touch();
    if (statusCode !== 200) {
      await body.dump();
      throw new DownloadError('refused', `${url} answered ${statusCode}`, statusCode);
    }
    return await read(body, touch);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof DownloadError || isDiskError(error)) throw error;
    if (gone.signal.aborted) throw new PeerUnreached(`${url} cannot be reached: its machine does not answer`);
    const why = idle.signal.aborted ? `nothing came for ${idleMs} ms` : causeOf(error);
    if (!answered) throw new PeerUnreached(`${url} cannot be reached: ${why}`);
    throw new DownloadError('cut', `${url} broke off: ${why}`);
  } finally {
    idle.lift();
    absence.stop();
  }
}

/** More than this is not a manifest of ours. */
const LARGEST_ANSWER = 2 ** 30;

export const askBytes = (asker: Asker, peer: Peer, path: string, options: AskOptions): Promise<Buffer> =>
  ask(asker, peer, path, options, async (body, touch) => {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      touch();
      chunks.push(chunk);
      if ((size += chunk.length) > LARGEST_ANSWER) throw new DownloadError('wrong', `${peer.url}${path} is endless`);
    }
    return Buffer.concat(chunks);
  });

const TOUCH_EVERY_MS = 100;

/** Chunks come in small: a call to the system for each would cost more than their bytes. */
const WRITTEN_AT_ONCE = 2 ** 20;

/** One block to its place in a file. It is proven when this resolves, and not yet on disk for sure. */
export const fetchBlock = (
  asker: Asker,
  peer: Peer,
  digest: string,
  block: Block,
  to: FileHandle,
  { onBytes, ...options }: AskOptions & { onBytes: (bytes: number) => void },
): Promise<void> =>
  ask(asker, peer, `/artifacts/${digest}/blocks/${block.index}`, options, async (body, touch) => {
    const hash = createHash('sha256');
    let received = 0;
    let [written, waiting]: [number, Buffer[]] = [0, []];
    const flush = async (): Promise<void> => {
      const chunks = waiting;
      const at = block.offset + written;
      asker.onReceived?.(received - written);
      [written, waiting] = [received, []];
      if (chunks.length > 0) await meanwhile(touch, writeAll(to, chunks, at));
    };
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        touch();
        if (received + chunk.length > block.length) throw wrong(peer, block, `is longer than ${block.length} bytes`);
        hash.update(chunk);
        waiting.push(chunk);
        received += chunk.length;
        onBytes(chunk.length);
        if (received - written >= WRITTEN_AT_ONCE) await flush();
        if (asker.copyRate) await paced(asker, asker.copyRate, chunk.length, options.signal);
      }
      await flush();
      if (received < block.length)
        throw new DownloadError('cut', `${peer.url} broke off after ${received} of ${block.length} bytes of a block`);
      const found = hash.digest('hex');
      if (found !== block.sha256) throw wrong(peer, block, `has sha256 ${found}, not ${block.sha256}`);
    } catch (error) {
      onBytes(-received);
      throw error;
    }
  });

/** A disk that fills up takes a part without a word, and says so only when it is to take the rest. */
async function writeAll(to: FileHandle, chunks: Buffer[], at: number): Promise<void> {
  const { bytesWritten } = await to.writev(chunks, at);
  if (bytesWritten === chunks.reduce((sum, { length }) => sum + length, 0)) return;
  const rest = Buffer.concat(chunks).subarray(bytesWritten);
  for (let done = 0; done < rest.length;)
    done += (await to.write(rest, done, rest.length - done, at + bytesWritten + done)).bytesWritten;
}

/** A disk that holds this node up is not a peer's silence. */
async function meanwhile(touch: () => void, work: Promise<unknown>): Promise<void> {
  const touching = setInterval(touch, TOUCH_EVERY_MS);
  await work.finally(() => clearInterval(touching));
}

const wrong = (peer: Peer, { index }: Block, what: string) =>
  new DownloadError('wrong', `block ${index} from ${peer.url} ${what}`);

/** When the next byte may come, for each node that has a limit. */
const nextAt = new WeakMap<object, number>();

async function paced(asker: Asker, rate: number, bytes: number, signal: AbortSignal | undefined): Promise<void> {
  const now = performance.now();
  const at = Math.max(now, nextAt.get(asker) ?? 0);
  nextAt.set(asker, at + (bytes / rate) * 1000);
  if (at > now) await sleep(at - now, undefined, signal ? { signal } : {});
}
