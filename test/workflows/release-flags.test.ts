/** What is known of each release's flags is what the recorded parsers say; `-u` writes it again from them. */
import { describe, expect, it } from 'vitest';
import { flagsOf } from '../../workflows/release-flags.js';
import { RELEASES, type Release } from '../../workflows/releases.js';
import { parserOf, type Parser } from '../support/arguments.js';

const parsers = new Map(RELEASES.map((release) => [release, parserOf(release, 'pretrain_gpt.py')]));

/** Here argparse itself was asked; what was read out of sources misses choices that features add. */
const ARGPARSE: readonly Release[] = ['2.3.0', '26.0.0'];

const HEAD = `/**
 * The flags of pretrain_gpt.py in each release of MindSpeed-LLM, with its MindSpeed and Megatron, as the recorded
 * parsers have them. Written by test/workflows/release-flags.test.ts; do not edit.
 *
 * A line is a flag, the type of its values ("+" for one or more, "*" for any number; nothing for a switch), its choices
 * in ${ARGPARSE.join(' or ')}, and the releases where not all have it.
 */
export const RELEASE_FLAGS = \`
`;

function written(): string {
  const flags = [...new Set([...parsers.values()].flatMap((parser) => Object.keys(parser)))].sort();
  return `${HEAD}${flags.map(lineOf).join('\n')}\n\`;\n`;
}

function lineOf(flag: string): string {
  const found = [...parsers].flatMap(([release, parser]) => (parser[flag] ? [{ release, entry: parser[flag] }] : []));
  const [nargs] = found[0]!.entry;
  const typed = found.map(({ entry }) => entry).filter(([, type]) => type);
  const types = [...new Set(typed.map(([, type]) => type))];
  const type = types.length === 1 && ['int', 'float'].includes(types[0]!) ? types[0]! : 'str';
  const asked = found.filter(({ release }) => ARGPARSE.includes(release)).map(({ entry: [, , choices] }) => choices);
  const choices = asked.includes(undefined) ? [] : [...new Set(asked.flatMap((some) => some!.map(nameOf)))];
  const releases = found.length === RELEASES.length ? '' : `@${found.map(({ release }) => release).join(',')}`;
  const values = nargs === 0 ? '' : nargs === 1 ? type : `${type}${nargs}`;
  return [flag, values, choices.join('|'), releases].filter(Boolean).join(' ');
}

/** `<AttnBackend.flash: 1>` is chosen by its name. */
const nameOf = (choice: unknown): string => /^<\w+\.(\w+): \d+>$/.exec(String(choice))?.[1] ?? String(choice);

const FSDP2 = (['26.0.0', '26.1.0'] as const).map((release) => ({
  release,
  parser: parserOf(release, 'train_fsdp2.py'),
}));

function writtenFsdp2(): string {
  const flags = [...new Set(FSDP2.flatMap(({ parser }) => Object.keys(parser)))].sort();
  return `/**
 * The arguments of train_fsdp2.py in each release of MindSpeed-LLM that has it, as the recorded parsers have them.
 * Written by test/workflows/release-flags.test.ts; do not edit. A line is as in release-flag-list.ts; a switch takes
 * True or False.
 */
export const FSDP2_FLAGS = \`
${flags.map(fsdp2LineOf).join('\n')}
\`;
`;
}

function fsdp2LineOf(flag: string): string {
  const found = FSDP2.filter(({ parser }) => parser[flag]);
  const [nargs, type] = found[0]!.parser[flag]!;
  const choices = [...new Set(found.flatMap(({ parser }) => (parser[flag]![2] as string[] | undefined) ?? []))];
  const values = type === 'bool' ? 'str True|False' : `${type}${nargs === '+' ? '+' : ''}`;
  const releases = `@${found.map(({ release }) => release).join(',')}`;
  return [flag, values, choices.join('|'), releases].filter(Boolean).join(' ');
}

describe('the flags of the releases', () => {
  it('of train_fsdp2.py are those of its recorded parsers', async () => {
    await expect(writtenFsdp2()).toMatchFileSnapshot('../../workflows/fsdp2-flag-list.ts');
    for (const { release, parser } of FSDP2)
      expect([...flagsOf(release, 'train_fsdp2.py').keys()].sort()).toEqual(Object.keys(parser).sort());
    expect(flagsOf('2.3.0', 'train_fsdp2.py').size).toBe(0);
  });

  it('are those of the recorded parsers', async () => {
    await expect(written()).toMatchFileSnapshot('../../workflows/release-flag-list.ts');
  });

  it.each(RELEASES)('has every flag of %s, with as many values', (release: Release) => {
    const known = flagsOf(release);
    const parser: Parser = parsers.get(release)!;
    expect([...known.keys()].sort()).toEqual(Object.keys(parser).sort());
    for (const [flag, [nargs]] of Object.entries(parser)) expect([flag, known.get(flag)!.nargs]).toEqual([flag, nargs]);
  });
});
