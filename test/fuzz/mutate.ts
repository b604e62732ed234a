/** Inputs that were good once: cut short, with bytes changed, taken out, doubled, and hostile ones put in. */
import fc from 'fast-check';

type Change =
  | { kind: 'cut'; at: number }
  | { kind: 'byte'; at: number; to: number }
  | { kind: 'out'; at: number; length: number }
  | { kind: 'again'; at: number; length: number }
  | { kind: 'in'; at: number; bytes: Buffer };

/** Lengths and counts that overflow, ends of lines and texts, deep nesting. */
const HOSTILE = [
  ...['\0', '\n', '\r', '"', '\\', '{', '[', '}', ']', ',', ':', '../', '%2e%2e', '<|endoftext|>', '-1', '1e999'],
  ...['\xff\xff\xff\xff', '\x7f\xff\xff\xff', '\x80\0\0\0', '\0\0\0\x80', '\xed\xa0\x80', '__proto__', 'NaN'],
  ...['['.repeat(5_000), '{"a":'.repeat(5_000), '9'.repeat(400), ' '.repeat(5_000), 'a'.repeat(40_000)],
].map((text) => Buffer.from(text, 'latin1'));

const at = fc.double({ min: 0, max: 1, noNaN: true });
const length = fc.integer({ min: 1, max: 200 });
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant('cut' as const), at }),
  fc.record({ kind: fc.constant('byte' as const), at, to: fc.integer({ min: 0, max: 255 }) }),
  fc.record({ kind: fc.constant('out' as const), at, length }),
  fc.record({ kind: fc.constant('again' as const), at, length }),
  fc.record({ kind: fc.constant('in' as const), at, bytes: fc.constantFrom(...HOSTILE) }),
  fc.record({
    kind: fc.constant('in' as const),
    at,
    bytes: fc.uint8Array({ minLength: 1, maxLength: 16 }).map((bytes) => Buffer.from(bytes)),
  }),
);

function changed(bytes: Buffer, what: Change): Buffer {
  const place = Math.floor(what.at * bytes.length);
  const [head, tail] = [bytes.subarray(0, place), bytes.subarray(place)];
  if (what.kind === 'cut') return head;
  if (what.kind === 'byte') return Buffer.concat([head, Buffer.from([what.to]), tail.subarray(1)]);
  if (what.kind === 'out') return Buffer.concat([head, tail.subarray(what.length)]);
  if (what.kind === 'again') return Buffer.concat([head, tail.subarray(0, what.length), tail]);
  return Buffer.concat([head, what.bytes, tail]);
}

/** Any of the seeds with some changes, or none. */
export const mutated = (seeds: readonly Buffer[]): fc.Arbitrary<Buffer> =>
  fc
    .tuple(fc.constantFrom(...seeds), fc.array(change, { maxLength: 6 }))
    .map(([seed, changes]) => changes.reduce(changed, seed));

/** A change at any place of a JSON document: another value, a field more or less, another type. */
export const mutatedJson = (seeds: readonly object[]): fc.Arbitrary<unknown> =>
  fc
    .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(at, fc.nat(3), anything), { minLength: 1, maxLength: 4 }))
    .map(([seed, changes]) => changes.reduce<unknown>(replaced, structuredClone(seed)));

const anything = fc.oneof(
  fc.anything({ maxDepth: 2, withNullPrototype: true }),
  fc.constantFrom<unknown>(0, -1, 1e308, NaN, '', '../x', '\0', '-1', 'hf://a/b@c/**', '1e9h', [], {}, null, true),
  fc.string({ unit: 'binary', maxLength: 40 }),
);

/** At a place, counted through all places of the tree: puts a value there, takes it away, or adds a field beside it. */
function replaced(tree: unknown, [where, how, value]: [number, number, unknown]): unknown {
  const places: { holder: Record<string, unknown>; key: string }[] = [];
  const look = (node: unknown) => {
    if (typeof node !== 'object' || node === null) return;
    for (const key of Object.keys(node)) {
      places.push({ holder: node as Record<string, unknown>, key });
      look((node as Record<string, unknown>)[key]);
    }
  };
  look(tree);
  const place = places[Math.floor(where * places.length)];
  if (!place) return value;
  if (how === 1) delete place.holder[place.key];
  else if (how === 2) place.holder[`${place.key}x`] = value;
  else place.holder[place.key] = value;
  return tree;
}
