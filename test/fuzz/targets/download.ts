import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { sha256 } from '../../../activities/artifact.js';
import { download, DownloadError } from '../../../activities/download.js';
import { mutated } from '../mutate.js';
import type { Target } from '../target.js';

const FILE = 'the bytes of a file\n'.repeat(20);
const etag = '"v1"';
const answers = [
  `HTTP/1.1 200 OK\r\nContent-Length: ${FILE.length}\r\nETag: ${etag}\r\nConnection: close\r\n\r\n${FILE}`,
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: ${etag}\r\nConnection: close\r\n\r\n${FILE.length.toString(16)}\r\n${FILE}\r\n0\r\n\r\n`,
  `HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-${FILE.length - 1}/${FILE.length}\r\nContent-Length: ${FILE.length}\r\nETag: ${etag}\r\nConnection: close\r\n\r\n${FILE}`,
  'HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
  'HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
].map((text) => Buffer.from(text, 'latin1'));

let site: { dir: string; server: Server } | undefined;
let answer: Buffer = answers[0]!;

async function open() {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(answer));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { dir: mkdtempSync(join(tmpdir(), 'fuzz-download-')), server };
}

/** Whatever a server answers, byte for byte: the file that was asked for, or no file and why. */
export const downloads: Target<[Buffer, boolean]> = {
  name: 'download',
  inputs: fc.tuple(mutated(answers), fc.boolean()),
  async check([bytes, isProven]) {
    site ??= await open();
    answer = bytes;
    const to = join(site.dir, 'file');
    const wanted = isProven ? { sha256: sha256(FILE) } : { etag };
    const { port } = site.server.address() as AddressInfo;
    try {
      await download({
        url: `http://127.0.0.1:${port}/f`,
        to,
        part: `${to}.part`,
        size: FILE.length,
        ...wanted,
        idleMs: 2000,
      });
      const got = readFileSync(to);
      if (isProven ? sha256(got) !== sha256(FILE) : got.length !== FILE.length) throw new Error('another file');
    } catch (error) {
      if (!(error instanceof DownloadError)) throw error;
      if (existsSync(to)) throw new Error(`there is a file though ${error.message}`, { cause: error });
    } finally {
      for (const path of [to, `${to}.part`]) rmSync(path, { force: true });
    }
  },
  async close() {
    const { dir, server } = site ?? {};
    site = undefined;
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
    await new Promise((done) => (server ? server.close(done) : done(undefined)));
  },
};
