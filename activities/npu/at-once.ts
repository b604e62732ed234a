/** Of the driver's tools that may run at a time: the driver answers them one by one. */
const AT_ONCE = 4;

/** In order, a few at a time; what fails is `undefined`. */
export async function fewAtOnce<T, R>(
  items: readonly T[],
  look: (item: T, index: number) => Promise<R>,
): Promise<(R | undefined)[]> {
  const found: (R | undefined)[] = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < items.length; index = next++)
      found[index] = await look(items[index]!, index).catch(() => undefined);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
  return found;
}
