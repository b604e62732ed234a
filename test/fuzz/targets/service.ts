import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { sealArtifact } from '../../../activities/artifact.js';
import { startFileService, type FileService } from '../../../activities/file-service.js';
import { grantAccess } from '../../../activities/grants.js';
import { mutated } from '../mutate.js';
import type { Target } from '../target.js';
import { exchange } from './exchange.js';

const SECRET = 'not-for-peers';

interface Site {
  dir: string;
  service: FileService;
  token: string;
  digest: string;
}

let site: Site | undefined;

async function open(): Promise<Site> {
  const dir = mkdtempSync(join(tmpdir(), 'fuzz-service-'));
  mkdirSync(join(dir, 'datasets/k'), { recursive: true });
  mkdirSync(join(dir, 'runs/r'), { recursive: true });
  writeFileSync(join(dir, 'datasets/k/prefix.bin'), '0123456789');
  for (const path of ['datasets/k/unlisted', 'runs/r/command.json', 'owner']) writeFileSync(join(dir, path), SECRET);
  const { digest } = await sealArtifact(dir, 'datasets/k', ['prefix.bin'], { block: 4 });
  const service = await startFileService({ dataDir: dir, host: '127.0.0.1', port: 0, name: 'n1' });
  return { dir, service, digest, token: await grantAccess(dir, { run: 'r', series: 's' }) };
}

const lines = ['/health', '/artifacts/DIGEST/manifest', '/artifacts/DIGEST/blocks/1', '/series/s/tracker'].flatMap(
  (path) =>
    ['', 'Range: bytes=1-2\r\n', 'Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n'].map((more) =>
      Buffer.from(`GET ${path} HTTP/1.1\r\nHost: n1\r\nAuthorization: Bearer TOKEN\r\n${more}\r\n`),
    ),
);

/** Whatever comes over the wire: the node goes on serving, and gives nothing that is in no manifest. */
export const service: Target<[Buffer, boolean]> = {
  name: 'file-service',
  inputs: fc.tuple(mutated(lines), fc.boolean()),
  async check([template, knowsToken]) {
    site ??= await open();
    const { service, token, digest } = site;
    const request = template
      .toString('latin1')
      .replaceAll('DIGEST', digest)
      .replaceAll('TOKEN', knowsToken ? token : 'a'.repeat(43));
    const answer = await exchange(service.port, Buffer.from(request, 'latin1'));
    if (answer.includes(SECRET)) throw new Error(`gave a secret away: ${answer.slice(0, 200)}`);
    const health = await exchange(
      service.port,
      Buffer.from('GET /health HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n'),
    );
    if (!health.endsWith('n1')) throw new Error(`does not serve any more: ${health.slice(0, 100)}`);
  },
  async close() {
    await site?.service.close();
    if (site) rmSync(site.dir, { recursive: true, force: true });
    site = undefined;
  },
};
