/** Argument lists as flags with their values, and what a real parser would say against them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../workers/config.js';

/** Number of values (argparse's `nargs`), their type and the choices, as read out of the real parser. */
export type Parser = Record<string, [nargs: 0 | 1 | '?' | '+' | '*', type?: string | null, choices?: unknown[]]>;

export const readFixture = (path: string): unknown =>
  JSON.parse(readFileSync(join(root, 'test/fixtures', path), 'utf8'));

export const parserOf = (release: string, script: string): Parser =>
  readFixture(`golden/flags/${release}/${script.replace('.py', '')}.json`) as Parser;

/** Each flag with its values, in order; what comes before the first one stands alone. */
function groupsOf(args: string[]): string[][] {
  const groups: string[][] = [];
  for (const arg of args) {
    if (arg.startsWith('--') || !groups.length) groups.push([arg]);
    else groups.at(-1)!.push(arg);
  }
  return groups;
}

/** Flags and their values as text, the way that the shipped examples are recorded. */
export const flagsIn = (args: string[]): Record<string, string> =>
  Object.fromEntries(groupsOf(args).map(([flag, ...values]) => [flag!, values.join(' ')]));

export function complaints(flags: Parser, args: string[]): string[] {
  const groups = groupsOf(args);
  const twice = groups.filter(([flag], index) => groups.findIndex(([other]) => other === flag) !== index);
  return [
    ...twice.map(([flag]) => `${flag!} is given twice`),
    ...groups.flatMap(([flag, ...values]) => {
      const known = flags[flag!];
      if (!known) return [`${flag!} is unknown`];
      const [nargs, type, choices] = known;
      const wrongType = values.filter((value) => !isOfType(value, type ?? 'str'));
      const notChosen = choices ? values.filter((value) => !choices.map(String).includes(value)) : [];
      return [
        ...(isCount(values.length, nargs) ? [] : [`${flag!} takes ${nargs} values, not ${values.length}`]),
        ...wrongType.map((value) => `${flag!} ${value} is no ${type}`),
        ...notChosen.map((value) => `${flag!} ${value} is none of ${choices!.join(', ')}`),
      ];
    }),
  ];
}

const isCount = (count: number, nargs: Parser[string][0]): boolean =>
  nargs === '*' || (nargs === '+' ? count > 0 : nargs === '?' ? count <= 1 : count === nargs);
const isOfType = (value: string, type: string): boolean =>
  type === 'int' ? /^-?\d+$/.test(value) : type === 'float' ? value !== '' && Number.isFinite(Number(value)) : true;
