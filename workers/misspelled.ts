/** Settings by nearly the right name: nobody would read them, and the default would hold without a word. Pure. */

/** Letters that are missing, too many or wrong. */
const NEAR = 2;

/** @returns each variable that none of `known` is and one of them is nearly, with that one */
export function misspelled(names: string[], known: readonly string[]): { name: string; meant: string }[] {
  return names.flatMap((name) => {
    if (known.includes(name)) return [];
    const meant = known.find((other) => editDistance(name, other) <= NEAR);
    return meant === undefined ? [] : [{ name, meant }];
  });
}

/** Levenshtein's. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + Number(a[i - 1] !== b[j - 1])));
    row = next;
  }
  return row[b.length]!;
}
