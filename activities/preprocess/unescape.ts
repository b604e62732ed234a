/** The inside of a long JSON string, decoded in portions that end between characters. */

/** Two halves of a surrogate pair, the longest that belongs together. */
const LONGEST_ESCAPE = 12;
const CHARACTER = /[^\\]+|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u[0-9a-fA-F]{4}|\\[^u]/g;

export async function* unescaped(source: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  for await (const text of source) {
    rest += text;
    const cut = lastCut(rest);
    if (cut === 0) continue;
    yield decode(rest.slice(0, cut));
    rest = rest.slice(cut);
  }
  yield decode(rest);
}

function decode(text: string): string {
  let decoded: string;
  try {
    decoded = JSON.parse(`"${text}"`) as string;
  } catch (error) {
    throw new Error(`not JSON: in a long text, ${(error as Error).message}`, { cause: error });
  }
  if (/\p{Surrogate}/u.test(decoded)) throw new Error('a long text is not valid Unicode');
  return decoded;
}

/** A place near the end that is within no escape and no character. */
function lastCut(text: string): number {
  const end = text.length - LONGEST_ESCAPE;
  for (let at = end; at > Math.max(LONGEST_ESCAPE, end - 4096); at--)
    if (!text.slice(at - LONGEST_ESCAPE, at).includes('\\') && !isHigh(text.charCodeAt(at - 1))) return at;
  // Escapes all over: one after the other.
  let cut = 0;
  for (const { 0: found, index } of text.slice(0, Math.max(0, end)).matchAll(CHARACTER)) {
    if (index !== cut) break;
    const next = index + found.length;
    if (isHigh(text.charCodeAt(next - 1)) || /^\\u[dD][89abAB]..$/.test(found)) break;
    cut = next;
  }
  return cut;
}

const isHigh = (code: number): boolean => code >= 0xd800 && code <= 0xdbff;
