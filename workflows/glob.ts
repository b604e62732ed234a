/** Patterns over the paths of a source. Pure: a run file's are tried before any node is asked. */

/** Steps of a pattern. `dirs`, two stars and a slash, is nothing or all up to a slash; `inside` is where that is being read. */
type Token = { kind: 'one' | 'many'; takes: (character: string) => boolean } | { kind: 'dirs' | 'inside' };

const anything = (): boolean => true;
const inName = (character: string): boolean => character !== '/';

/** More than anybody writes, and what braces in braces come to at once. */
const MOST_ALTERNATIVES = 256;

/**
 * Shell patterns over `/`-separated paths: `*` and `?` within a name, `**` over directories, `[a-z]`, `{one,two}`.
 * Read in step with the path, never back: a regular expression of many stars takes for ever over a path that does not match.
 * @throws Error for what is no pattern
 */
function compile(glob: string): (path: string) => boolean {
  const patterns = alternatives(glob).map(tokensOf);
  return (path) => patterns.some((tokens) => isMatch(tokens, path));
}

function isMatch(tokens: Token[], path: string): boolean {
  let at = withSkips(tokens, [0]);
  for (const character of path) {
    const next: number[] = [];
    for (const index of at) {
      const token = tokens[index];
      if (token === undefined) continue;
      if (token.kind === 'one') next.push(...(token.takes(character) ? [index + 1] : []));
      else if (token.kind === 'many') next.push(...(token.takes(character) ? [index] : []));
      else {
        const inside = token.kind === 'dirs' ? index + 1 : index;
        next.push(inside, ...(character === '/' ? [inside + 1] : []));
      }
    }
    at = withSkips(tokens, next);
  }
  return at.has(tokens.length);
}

/** And where one is without reading anything. */
function withSkips(tokens: Token[], reached: number[]): Set<number> {
  const at = new Set(reached);
  // A set is walked over what is added on the way as well.
  for (const index of at) {
    const kind = tokens[index]?.kind;
    if (kind === 'many') at.add(index + 1);
    if (kind === 'dirs') at.add(index + 2);
  }
  return at;
}

function tokensOf(pattern: string): Token[] {
  const tokens: Token[] = [];
  for (let i = 0; i < pattern.length;) {
    const character = String.fromCodePoint(pattern.codePointAt(i)!);
    const end = character === '[' ? pattern.indexOf(']', i + 2) : -1;
    if (pattern.startsWith('**/', i)) {
      tokens.push({ kind: 'dirs' }, { kind: 'inside' });
      i += 3;
    } else if (pattern.startsWith('**', i)) {
      tokens.push({ kind: 'many', takes: anything });
      i += 2;
    } else if (end > 0) {
      const members = pattern
        .slice(i + 1, end)
        .replace(/^!/, '^')
        .replaceAll('\\', '\\\\')
        .replaceAll('[', '\\[');
      const set = new RegExp(`^[${members}]$`, 'su');
      tokens.push({ kind: 'one', takes: (given) => set.test(given) });
      i = end + 1;
    } else {
      if (character === '*') tokens.push({ kind: 'many', takes: inName });
      else if (character === '?') tokens.push({ kind: 'one', takes: inName });
      else tokens.push({ kind: 'one', takes: (given) => given === character });
      i += character.length;
    }
  }
  return tokens;
}

/** The patterns without braces that one with braces stands for. */
function alternatives(glob: string): string[] {
  const open = glob.indexOf('{');
  if (glob.includes('}') && (open < 0 || glob.indexOf('}') < open)) throw new Error('a } without a {');
  if (open < 0) return [glob];
  const { parts, end } = partsOf(glob, open);
  const rests = alternatives(glob.slice(end));
  const all = parts.flatMap((part) =>
    alternatives(part).flatMap((one) => rests.map((rest) => glob.slice(0, open) + one + rest)),
  );
  if (all.length > MOST_ALTERNATIVES) throw new Error(`more than ${MOST_ALTERNATIVES} alternatives in braces`);
  return all;
}

/** What stands between the commas of a group, which may have groups in it, and where the pattern goes on. */
function partsOf(glob: string, open: number): { parts: string[]; end: number } {
  const parts: string[] = [];
  let [depth, from] = [0, open + 1];
  for (let i = open; i < glob.length; i++) {
    if (glob[i] === '{') depth++;
    if (glob[i] === '}') depth--;
    if (depth === 0 || (depth === 1 && glob[i] === ',')) {
      parts.push(glob.slice(from, i));
      from = i + 1;
    }
    if (depth === 0) return { parts, end: i + 1 };
  }
  throw new Error('a { without a }');
}

export const isGlob = (path: string): boolean => /[*?[{]/.test(path);

/** What is wrong with a pattern; nothing where it can be matched. */
export function globProblem(glob: string): string | undefined {
  try {
    compile(glob);
    return undefined;
  } catch (error) {
    return (error as Error).message.replace(/^Invalid regular expression: .*: /s, '');
  }
}

/** The directory above the first pattern character. */
export function globBase(path: string): string {
  const parts = path.split('/');
  return parts
    .slice(
      0,
      parts.findIndex((part) => isGlob(part)),
    )
    .join('/');
}

/** Chooses by pattern; without a pattern character, the file of that name or everything in the directory of that name. */
export function matching(glob: string | undefined): (path: string) => boolean {
  if (!glob) return () => true;
  if (isGlob(glob)) return compile(glob);
  return (path) => path === glob || path.startsWith(`${glob.replace(/\/$/, '')}/`);
}
