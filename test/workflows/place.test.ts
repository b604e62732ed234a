/** Which node a step runs on, and what a lost one costs the steps after it. */
import { ApplicationFailure } from '@temporalio/common';
import { expect, it } from 'vitest';
import { onFirst } from '../../workflows/place.js';
import type { NodeInfo } from '../../workflows/contract.js';

const nodes = ['n1', 'n2', 'n3'].map((name) => ({ name }) as NodeInfo);
const gone = (node: string) =>
  ApplicationFailure.create({ type: 'NodeLost', message: `${node} is lost`, details: [{ node }] });

/** A step that notes where it was tried; nodes of `lost` do not answer. */
function stepOn(lost: string[], tried: string[]) {
  return ({ name }: NodeInfo): Promise<string> => {
    tried.push(name);
    return lost.includes(name) ? Promise.reject(gone(name)) : Promise.resolve(name);
  };
}

it('passes a step on from a lost node to the next', async () => {
  const tried: string[] = [];
  expect(await onFirst(nodes, stepOn(['n1', 'n2'], tried))).toBe('n3');
  expect(tried).toEqual(['n1', 'n2', 'n3']);
});

it('asks a node that another step found lost only when no other is left', async () => {
  const lost = new Set<string>();
  await onFirst(nodes, stepOn(['n1'], []), lost);
  const tried: string[] = [];
  expect(await onFirst(nodes, stepOn(['n1'], tried), lost)).toBe('n2');
  expect(tried).toEqual(['n2']);
  const back: string[] = [];
  expect(await onFirst(nodes, stepOn(['n2', 'n3'], back), lost)).toBe('n1');
  expect(back).toEqual(['n2', 'n3', 'n1']);
});

it('fails with the last node, and at once with an error that is not a loss', async () => {
  await expect(onFirst(nodes, stepOn(['n1', 'n2', 'n3'], []))).rejects.toThrow('n3 is lost');
  const tried: string[] = [];
  const broken = (node: NodeInfo) => (tried.push(node.name), Promise.reject(new Error('disk full')));
  await expect(onFirst(nodes, broken)).rejects.toThrow('disk full');
  expect(tried).toEqual(['n1']);
});
