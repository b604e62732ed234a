/** Programs of the checkout that a node runs, and no others, whoever asks for it. */
import { join } from 'node:path';
import { entryPointsOf, RELEASES } from '../workflows/releases.js';
import { failure } from './failures.js';
import { fingerprint } from './fingerprint.js';
import type { NodeDeps } from './node-deps.js';

const KNOWN = new Set([...RELEASES.flatMap(entryPointsOf), 'train_fsdp2.py']);

type Checkout = Pick<NodeDeps, 'name' | 'mindspeedDir' | 'checkout'>;

/**
 * Where a program of the checkout is. Where the operator approves a checkout, it is looked at again each time: a node
 * check may be days ago.
 * @throws InvalidInput for what is no entry point, EnvCheckFailed for a checkout that is not the approved one
 */
export async function entryPoint({ name, mindspeedDir, checkout }: Checkout, script: string): Promise<string> {
  if (!KNOWN.has(script))
    throw failure('InvalidInput', `${name}: ${JSON.stringify(script)} is none of ${[...KNOWN].join(', ')}`, {
      nonRetryable: true,
    });
  const programs = checkout === undefined ? undefined : await fingerprint(mindspeedDir);
  if (programs !== checkout)
    throw failure('EnvCheckFailed', `${name}: ${notApproved(mindspeedDir, programs!, checkout!)}`, {
      nonRetryable: true,
      details: { node: name },
    });
  return join(mindspeedDir, script);
}

export const notApproved = (mindspeedDir: string, programs: string, checkout: string): string =>
  `the programs in ${mindspeedDir} are ${programs}, and PRETRAIN_CHECKOUT approves ${checkout}: bring that checkout back, or approve what is there`;
