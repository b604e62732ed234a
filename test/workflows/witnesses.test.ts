/** What is made of several nodes' answers about one, and when. */
import { expect, it } from 'vitest';
import { firstVerdict } from '../../workflows/witnesses.js';

const never = new Promise<undefined>(() => undefined);
const says = <T>(answer: T) => Promise.resolve(answer);

it.each<[string, Promise<boolean | undefined>[], string]>([
  ['one that reaches it is enough, whoever is silent', [never, says(true), never], 'up'],
  ['one that reaches it counts, whatever others say after it', [says(true), says(false)], 'up'],
  [
    'most that do not are enough, so that one that is lost too is not waited for',
    [never, says(false), says(false)],
    'gone',
  ],
  ['half that do not are not enough: they may be cut off themselves', [says(false), says(true)], 'up'],
  ['those that do not answer are none that say so', [says(undefined), says(false), says(undefined)], 'gone'],
  ['nobody answers', [says(undefined), says(undefined)], 'unknown'],
  ['there is nobody to ask', [], 'unknown'],
])('a look: %s', async (_, answers, verdict) => {
  expect(await firstVerdict(answers)).toBe(verdict);
});

it('a look waits where no more than half have not reached it', async () => {
  const late = new Promise<boolean>((resolve) => setTimeout(resolve, 20, true));
  expect(await firstVerdict([says(false), says(false), late, never])).toBe('up');
});
