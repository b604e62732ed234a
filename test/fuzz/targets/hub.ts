import fc from 'fast-check';
import { listRepo } from '../../../activities/hub.js';
import type { Target } from '../target.js';
import { answerLike, hubServer, listsWell, type Answer } from './hub-server.js';

const sha = 'c'.repeat(40);
const tree = [
  { type: 'file', path: 'data/a.parquet', size: 3, oid: sha, lfs: { oid: 'd'.repeat(64), size: 5 } },
  { type: 'directory', path: 'data', size: 0, oid: sha },
  { type: 'file', path: 'README.md', size: 3, oid: sha },
];

const server = hubServer((url) => (url.includes('/tree/') ? 1 : 0));

/** Whatever the Hugging Face hub answers. */
export const hub: Target<[Answer, Answer]> = {
  name: 'hub',
  inputs: fc.tuple(answerLike({ sha }), answerLike(tree)),
  async check(answers) {
    const deps = { name: 'n1', hfEndpoint: await server.answering(answers) };
    const source = { kind: 'hf', type: 'models', id: 'a/b', revision: 'main' } as const;
    await listsWell(listRepo(deps, source), /^hf:\/\/models\/a\/b@[\w.-]+$/);
  },
  close: server.close,
};
