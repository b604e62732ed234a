import fc from 'fast-check';
import { listModelScope } from '../../../activities/modelscope.js';
import type { Target } from '../target.js';
import { answerLike, hubServer, listsWell, type Answer } from './hub-server.js';

const envelope = (Data: object) => ({ Code: 200, Data, Message: 'success', RequestId: 'r', Success: true });
const files = envelope({
  Files: [
    { Name: 'data', Path: 'data', Type: 'tree', Size: 0, Sha256: '' },
    { Name: 'a.jsonl', Path: 'data/a.jsonl', Type: 'blob', Size: 3, IsLFS: false, Sha256: 'd'.repeat(64) },
  ],
});

const server = hubServer((url) => (/\/repo\/(files|tree)\?/.test(url) ? 1 : 0));

/** Whatever ModelScope answers, of a model and of a dataset. */
export const modelscope: Target<['models' | 'datasets', Answer, Answer]> = {
  name: 'modelscope',
  inputs: fc.tuple(fc.constantFrom('models', 'datasets'), answerLike(envelope({ Id: 7, Type: 2 })), answerLike(files)),
  async check([type, ...answers]) {
    const deps = { name: 'n1', modelscopeEndpoint: await server.answering(answers) };
    const source = { kind: 'modelscope', type, id: 'a/b', revision: 'master' } as const;
    await listsWell(listModelScope(deps, source), new RegExp(`^modelscope://${type}/a/b@master$`));
  },
  close: server.close,
};
