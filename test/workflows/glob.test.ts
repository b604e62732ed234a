import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { globProblem, matching } from '../../workflows/glob.js';

describe('a pattern', () => {
  test.each<[glob: string, yes: string[], no: string[]]>([
    ['*.parquet', ['a.parquet', '.parquet'], ['a.parquet.crc', 'b/a.parquet', 'aparquet']],
    ['**/*.parquet', ['a.parquet', 'b/a.parquet', 'c/b/a.parquet'], ['a.json', 'b/.json']],
    ['en/**', ['en/a', 'en/b/c', 'en/'], ['en', 'fr/a', 'len/a']],
    ['a/**/b', ['a/b', 'a/x/b', 'a/x/y/b'], ['a/xb', 'ab', 'a/b/c']],
    ['part-?.txt', ['part-1.txt', 'part-😀.txt'], ['part-10.txt', 'part-/.txt']],
    ['part-[0-3!].txt', ['part-2.txt', 'part-!.txt'], ['part-4.txt']],
    ['part-[!0-3].txt', ['part-4.txt'], ['part-2.txt']],
    ['[[a]x', ['[x', 'ax'], ['bx']],
    ['{en,fr}/*.{json,jsonl}', ['en/a.json', 'fr/b.jsonl'], ['de/a.json', 'en/a.txt']],
    ['{a,b{c,d}}*', ['ax', 'bcx', 'bd'], ['b', 'cx']],
    ['a+(b).$^|', [], ['ab']],
    ['a+*', ['a+', 'a+b'], ['aa']],
    ['a,b*', ['a,b'], ['a']],
    ['[a', ['[a'], ['a']],
  ])('%s', (glob, yes, no) => {
    expect(globProblem(glob)).toBeUndefined();
    for (const path of yes) expect(matching(glob)(path), path).toBe(true);
    for (const path of no) expect(matching(glob)(path), path).toBe(false);
  });

  test.each([
    ['{a,b', 'a { without a }'],
    ['a}b*', 'a } without a {'],
    ['[z-a]*', 'Range out of order in character class'],
    ['{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}', 'more than 256 alternatives in braces'],
    ['{'.repeat(2000), 'a { without a }'],
  ])('%s is refused', (glob, problem) => {
    expect(globProblem(glob)).toBe(problem);
  });

  test('of many stars is done with a long path at once', () => {
    const began = performance.now();
    const long = `${'a/'.repeat(500)}y`;
    for (const glob of [
      `${'**'.repeat(12)}x`,
      `${'**/'.repeat(12)}x`,
      `${'*a*/'.repeat(100)}x`,
      `${'a*'.repeat(200)}x`,
    ])
      expect(matching(glob)(long)).toBe(false);
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  test('of letters and stars says what a regular expression says', () => {
    const glob = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*', '?'), maxLength: 8 });
    const path = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 8 });
    fc.assert(
      fc.property(glob, path, (pattern, text) => {
        fc.pre(/[*?]/.test(pattern));
        const source = pattern.replaceAll(/\*\*\/|\*\*|\*|\?/g, (found) =>
          found === '**/' ? '(?:.*/)?' : found === '**' ? '.*' : found === '*' ? '[^/]*' : '[^/]',
        );
        expect(matching(pattern)(text)).toBe(new RegExp(`^${source}$`, 's').test(text));
      }),
      { numRuns: 2_000 },
    );
  });
});
