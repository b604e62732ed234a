/** Argument lists as lines for a shell. */

/**
 * An argument list as a line that a shell reads back as the same list.
 * @param variables names that the shell is to fill in, where they stand with a dollar sign
 */
export function shellLine(args: string[], variables: string[] = []): string {
  const variable = variables.length > 0 ? new RegExp(`\\$(${variables.join('|')})\\b`) : undefined;
  return args.map((arg) => quoted(arg, variable)).join(' ');
}

function quoted(arg: string, variable: RegExp | undefined): string {
  if (/^[\w@%+=:,./-]+$/.test(arg)) return arg;
  return variable?.test(arg) ? `"${arg.replace(/["`\\]/g, '\\$&')}"` : `'${arg.replaceAll("'", `'\\''`)}'`;
}
