/** Patterns over the paths of a source. Pure: a run file's are tried before any node is asked. */

/** Shell patterns over `/`-separated paths: `*` and `?` within a name, `**` over directories, `[a-z]`, `{one,two}`. */
function globToRegExp(glob: string): RegExp {
  let source = '';
  for (let i = 0; i < glob.length; i++) {
    const c = glob[i]!;
    if (glob.startsWith('**/', i)) [source, i] = [`${source}(?:.*/)?`, i + 2];
    else if (glob.startsWith('**', i)) [source, i] = [`${source}.*`, i + 1];
    else if (c === '*') source += '[^/]*';
    else if (c === '?') source += '[^/]';
    else if (c === '{') source += '(?:';
    else if (c === '}') source += ')';
    else if (c === ',' && /\{[^}]*$/.test(glob.slice(0, i))) source += '|';
    else if (c === '[' && glob.indexOf(']', i + 2) > 0) {
      const end = glob.indexOf(']', i + 2);
      source += `[${glob
        .slice(i + 1, end)
        .replace(/^!/, '^')
        .replaceAll('\\', '\\\\')}]`;
      i = end;
    } else source += c.replace(/[.+^$()|\\[\]]/, '\\$&');
  }
  return new RegExp(`^${source}$`, 's');
}

export const isGlob = (path: string): boolean => /[*?[{]/.test(path);

/** What is wrong with a pattern; nothing where it can be matched. */
export function globProblem(glob: string): string | undefined {
  try {
    globToRegExp(glob);
    return undefined;
  } catch (error) {
    return (error as Error).message.replace(/^Invalid regular expression: .*: /s, '').toLowerCase();
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
  if (isGlob(glob)) {
    const pattern = globToRegExp(glob);
    return (path) => pattern.test(path);
  }
  return (path) => path === glob || path.startsWith(`${glob.replace(/\/$/, '')}/`);
}
