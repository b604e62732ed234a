/** Which of a node's tokens for hubs a run may use: the one that it names, else the node's own. */
import type { HubTokens } from '../workflows/contract.js';
import { failure } from './failures.js';
import type { NodeDeps } from './node-deps.js';
import type { Source } from './source.js';

const FIELDS = {
  hf: { field: 'huggingface', setting: 'hfToken' },
  modelscope: { field: 'modelscope', setting: 'modelscopeToken' },
} as const;

/** @throws InvalidInput where this node's worker has no variable of the name that the run file gives */
export function withTokenFor(deps: NodeDeps, { kind }: Source, tokens: HubTokens = {}): NodeDeps {
  if (kind !== 'hf' && kind !== 'modelscope') return deps;
  const { field, setting } = FIELDS[kind];
  const name = tokens[field];
  if (name === undefined) return deps;
  const token = deps.hubTokens?.[name];
  if (token !== undefined) return { ...deps, [setting]: token };
  throw failure(
    'InvalidInput',
    `tokens.${field}: expected an environment variable that the worker of ${deps.name} has, got ${name}. Set it there and restart the worker`,
    { nonRetryable: true, details: { node: deps.name, name } },
  );
}
