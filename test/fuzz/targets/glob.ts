import fc from 'fast-check';
import { globProblem, matching } from '../../../workflows/glob.js';
import type { Target } from '../target.js';

const piece = fc.oneof(
  fc.constantFrom(
    '*',
    '**',
    '**/',
    '?',
    '/',
    '{',
    '}',
    ',',
    '[',
    ']',
    '[!',
    '^',
    '-',
    '\\',
    'a',
    'aa',
    '.',
    '😀',
    '\ud800',
  ),
  fc.string({ unit: 'binary', maxLength: 4 }),
);
const pattern = fc.array(piece, { maxLength: 60 }).map((parts) => parts.join(''));
const many = fc
  .tuple(fc.constantFrom('*a', '**/', '?*', '{a,b}', '[a-z]'), fc.nat(800))
  .map(([one, n]) => one.repeat(n));

/** Whatever a run file gives for a pattern: what is wrong with it in words, or a match of any name in no time. */
export const glob: Target<[string, string]> = {
  name: 'glob',
  inputs: fc.tuple(
    fc.oneof(pattern, many),
    fc.oneof(
      pattern,
      fc.nat(400).map((n) => 'a'.repeat(n)),
    ),
  ),
  check([given, name]) {
    const problem = globProblem(given);
    if (problem !== undefined) {
      if (!problem || problem.includes('\n')) throw new Error(`says ${JSON.stringify(problem)}`);
      return;
    }
    if (typeof matching(given)(name) !== 'boolean') throw new Error('neither matches nor does not');
  },
};
