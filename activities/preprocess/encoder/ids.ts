/** A growing array of token ids. */
export interface Ids {
  readonly length: number;
  append(ids: ArrayLike<number>): void;
  /** What was appended, until the next change. */
  view(): Int32Array;
  clear(): void;
}

/** Kept for the next document; beyond it memory is given back. */
const KEPT = 2 ** 20;

export function createIds(): Ids {
  let array = new Int32Array(2 ** 16);
  let length = 0;
  return {
    get length() {
      return length;
    },
    append(ids) {
      if (length + ids.length > array.length) {
        const larger = new Int32Array(Math.max(array.length * 2, length + ids.length));
        larger.set(array.subarray(0, length));
        array = larger;
      }
      array.set(ids, length);
      length += ids.length;
    },
    view: () => array.subarray(0, length),
    clear() {
      length = 0;
      if (array.length > KEPT) array = new Int32Array(KEPT);
    },
  };
}
