/** What is made of several nodes' answers about one, and when. */
import { expect, it } from 'vitest';
import { firstVerdict } from '../../workflows/witnesses.js';

const never = new Promise<undefined>(() => undefined);
const says = <T>(answer: T) => Promise.resolve(answer);

it.each<[string, Promise<boolean | undefined>[], string]>([
  ['one that reaches it is enough, whoever is silent', [never, says(true), never], 'up'],
  ['one that reaches it counts, whatever others say after it', [says(true), says(false)], 'up'],
  ['half that do not are enough, so that witnesses that are lost too are not waited for', [never, says(false)], 'gone'],
  ['two of four', [never, says(false), never, says(false)], 'gone'],
  ['those that do not answer are none that say so', [says(undefined), says(false), says(undefined)], 'gone'],
  ['nobody answers', [says(undefined), says(undefined)], 'unknown'],
  ['there is nobody to ask', [], 'unknown'],
])('a look: %s', async (_, answers, verdict) => {
  expect(await firstVerdict(answers)).toBe(verdict);
});

it('a look waits where fewer than half have not reached it', async () => {
  const late = new Promise<boolean>((resolve) => setTimeout(resolve, 20, true));
  expect(await firstVerdict([says(false), late, late, never])).toBe('up');
});
