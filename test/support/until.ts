/** Asks again and again until it is so; a test that waits in vain fails at the line that waits. */
export async function until(isSo: () => boolean | Promise<boolean>, seconds = 60): Promise<void> {
  for (const deadline = Date.now() + seconds * 1000; !(await isSo());) {
    if (Date.now() > deadline) throw new Error(`waited ${seconds} s in vain for ${String(isSo)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
