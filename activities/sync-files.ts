/** Brings an artifact here from the nodes that have it. */
import { log } from '@temporalio/activity';
import type { NodeActivities } from '../workflows/contract.js';
import type { NodeDeps } from './node-deps.js';
import { step } from './step.js';
import { pullArtifact } from './transfer.js';

export const createSyncFiles =
  (deps: NodeDeps): NodeActivities['syncFiles'] =>
  ({ artifact, from, beside, asksHolders }) => {
    let progress: unknown;
    return step({ node: deps.name, name: `copy ${artifact.dir}`, details: () => progress }, (signal) =>
      pullArtifact(deps, {
        artifact,
        from,
        beside,
        asksHolders,
        link: true,
        signal,
        onProgress: (done) => void (progress = done),
        onProblem: (peer, problem) => {
          log.warn('a peer was left', { peer, problem, dir: artifact.dir });
        },
      }),
    );
  };
