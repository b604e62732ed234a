/**
 * Reads a pickle as data: nothing that it names is imported or called. Of objects other than Python's own only what
 * the caller makes of them is kept. Opcodes of protocols 2 to 4 (CPython's Lib/pickletools.py).
 */

export type Pickled = unknown;

export interface Making {
  /** What a persistent id stands for, such as a storage of torch. */
  persistent: (id: Pickled) => Pickled;
  /** What a call gives, by the name of its function, `module.name`. */
  call: (name: string, args: Pickled[]) => Pickled;
}

/** A function or class by its name, and an object that nobody asks for. */
export class Named {
  constructor(readonly name: string) {}
}
const OPAQUE = Symbol('an object');
const MARK = Symbol('mark');

/** Dictionaries come as `Map`, lists and tuples as arrays, bytes as `undefined`. @throws where it is cut or unknown */
export function unpickle(bytes: Buffer, { persistent, call }: Making): Pickled {
  let at = 0;
  const stack: Pickled[] = [];
  const memo: Pickled[] = [];
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new Error(`a pickle of ${bytes.length} bytes ends within byte ${at}`);
    return bytes.subarray(at, (at += length));
  };
  const size = (length: 1 | 4 | 8): number =>
    length === 8 ? Number(take(8).readBigUInt64LE()) : take(length).readUIntLE(0, length);
  const line = (): string => {
    const end = bytes.indexOf(0x0a, at);
    const text = take(end < 0 ? Infinity : end - at).toString('utf8');
    at++;
    return text;
  };
  const pop = (): Pickled => {
    if (stack.length === 0) throw new Error(`a pickle takes at byte ${at} what is not there`);
    return stack.pop();
  };
  const top = (): Pickled => stack.at(-1);
  const sinceMark = (): Pickled[] => {
    const mark = stack.lastIndexOf(MARK);
    if (mark < 0) throw new Error(`a pickle goes back at byte ${at} to a mark that is not there`);
    return stack.splice(mark).slice(1);
  };
  const last = (count: number): Pickled[] => Array.from({ length: count }, pop).reverse();
  const text = (length: number) => stack.push(take(length).toString('utf8'));
  const skip = (length: number) => {
    take(length);
    stack.push(undefined);
  };
  const append = (items: Pickled[]) => {
    const list = top();
    if (Array.isArray(list)) for (const item of items) list.push(item);
  };
  const set = (items: Pickled[]) => {
    const map = top();
    if (map instanceof Map) for (let i = 0; i + 1 < items.length; i += 2) map.set(items[i], items[i + 1]);
  };
  const invoke = () => {
    const [named, args] = last(2);
    const made = named instanceof Named ? call(named.name, Array.isArray(args) ? (args as Pickled[]) : []) : undefined;
    stack.push(made ?? OPAQUE);
  };
  const integer = (length: number) => {
    let value = 0n;
    take(length).forEach((byte, index) => (value |= BigInt(byte) << BigInt(8 * index)));
    stack.push(Number(length === 0 ? 0n : BigInt.asIntN(8 * length, value)));
  };
  const nameOnStack = () => {
    const [module, name] = last(2) as [string, string];
    stack.push(new Named(`${module}.${name}`));
  };

  const operations: Record<string, () => unknown> = {
    ...{ '}': () => stack.push(new Map()), ']': () => stack.push([]), ')': () => stack.push([]) },
    ...{ '\x8f': () => stack.push(OPAQUE), '\x90': sinceMark, '\x91': () => sinceMark() && stack.push(OPAQUE) },
    ...{ '(': () => stack.push(MARK), '0': pop, '1': sinceMark, '2': () => stack.push(top()) },
    ...{ N: () => stack.push(null), '\x88': () => stack.push(true), '\x89': () => stack.push(false) },
    ...{ K: () => stack.push(size(1)), M: () => stack.push(take(2).readUInt16LE()) },
    ...{ J: () => stack.push(take(4).readInt32LE()), G: () => stack.push(take(8).readDoubleBE()) },
    ...{ '\x8a': () => integer(size(1)), '\x8b': () => integer(size(4)) },
    ...{ X: () => text(size(4)), '\x8c': () => text(size(1)), '\x8d': () => text(size(8)) },
    ...{ U: () => text(size(1)), T: () => text(size(4)), C: () => skip(size(1)), B: () => skip(size(4)) },
    ...{ '\x8e': () => skip(size(8)), '\x96': () => skip(size(8)) },
    ...{ q: () => (memo[size(1)] = top()), r: () => (memo[size(4)] = top()), '\x94': () => memo.push(top()) },
    ...{ h: () => stack.push(memo[size(1)]), j: () => stack.push(memo[size(4)]) },
    ...{ c: () => stack.push(new Named(`${line()}.${line()}`)), '\x93': nameOnStack },
    ...{ R: invoke, '\x81': invoke, '\x92': () => (pop(), invoke()), b: pop },
    ...{ a: () => append(last(1)), e: () => append(sinceMark()), s: () => set(last(2)), u: () => set(sinceMark()) },
    ...{ t: () => stack.push(sinceMark()), l: () => stack.push(sinceMark()) },
    ...{ '\x85': () => stack.push(last(1)), '\x86': () => stack.push(last(2)), '\x87': () => stack.push(last(3)) },
    ...{ Q: () => stack.push(persistent(pop())), '\x80': () => take(1), '\x95': () => take(8) },
  };
  for (;;) {
    const code = take(1).toString('latin1');
    if (code === '.') return pop();
    const operation = operations[code];
    if (!operation)
      throw new Error(`a pickle has an opcode at byte ${at - 1} that is not known: ${JSON.stringify(code)}`);
    operation();
  }
}
