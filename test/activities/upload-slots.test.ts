import { expect, test } from 'vitest';
import { createUploadSlots } from '../../activities/upload-slots.js';

const never = new AbortController().signal;

test('two askers are served at once, each with one block, and the others in the order in which they asked', async () => {
  const slots = createUploadSlots(2);
  const served: string[] = [];
  const ask = (asker: string, block: string, signal = never) =>
    slots.take(asker, signal).then((end) => {
      served.push(block);
      return end;
    });
  const asked = [ask('a', 'a1'), ask('a', 'a2'), ask('b', 'b1'), ask('c', 'c1')];
  const [a1, , b1] = [await asked[0]!, undefined, await asked[2]!];
  expect(served).toEqual(['a1', 'b1']);
  b1();
  await asked[3];
  expect(served).toEqual(['a1', 'b1', 'c1']);
  a1();
  a1();
  const a2 = await asked[1]!;
  const gone = new AbortController();
  const left = ask('d', 'd1', gone.signal);
  gone.abort();
  await expect(left).rejects.toThrow();
  a2();
  await ask('e', 'e1');
  expect(served).toEqual(['a1', 'b1', 'c1', 'a2', 'e1']);
});
