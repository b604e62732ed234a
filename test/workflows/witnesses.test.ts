/** What is made of several nodes' answers about one, and when. */
import { expect, it } from 'vitest';
import { firstVerdict, witnessesOf } from '../../workflows/witnesses.js';

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

const racks = Array.from({ length: 64 }, (_, index) => ({ name: `node-${index}`, rack: Math.floor(index / 8) }));

it('a node that is lost with all of its rack is seen by nodes of other racks', () => {
  for (const node of racks) {
    const asked = witnessesOf(node, racks);
    expect(new Set(asked.map(({ name }) => name)).size).toBe(5);
    expect(asked.filter(({ rack }) => rack === node.rack).length).toBeLessThanOrEqual(1);
    expect(new Set(asked.map(({ rack }) => rack)).size).toBeGreaterThanOrEqual(4);
  }
});

it('of nodes that are all silent at once, none is asked about more than its share of them', () => {
  const asked = racks.flatMap((node) => witnessesOf(node, racks));
  const load = racks.map(({ name }) => asked.filter((witness) => witness.name === name).length);
  expect(Math.max(...load)).toBeLessThanOrEqual(2 * Math.ceil(asked.length / racks.length));
});

it('where there are few, all others are asked, and a node that is not among them likewise', () => {
  const few = racks.slice(0, 6);
  expect(witnessesOf(few[2]!, few)).toEqual(few.filter((node) => node !== few[2]));
  expect(witnessesOf({ name: 'another', rack: 9 }, few)).toHaveLength(5);
  expect(witnessesOf({ name: 'another', rack: 9 }, racks.slice(0, 5))).toEqual(racks.slice(0, 5));
});
