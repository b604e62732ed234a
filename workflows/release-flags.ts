/** What the parser of a release of MindSpeed-LLM knows: its flags, how many values each takes, and which. */
import { RELEASE_FLAGS } from './release-flag-list.js';
import { RELEASES, type Release } from './releases.js';

export interface FlagFacts {
  /** As argparse counts: none, one, one or more, any number. */
  nargs: 0 | 1 | '+' | '*';
  type: 'int' | 'float' | 'str';
  /** Of the releases whose parser was asked. */
  choices?: string[];
  releases: readonly Release[];
}

let all: Map<string, FlagFacts> | undefined;

const LINE = /^(\S+)(?: (int|float|str)([+*]?))?(?: ([^@\s]\S*))?(?: @(\S+))?$/;

function factsOf(line: string): [string, FlagFacts] {
  const [, flag, type, many, choices, releases] = LINE.exec(line)!;
  return [
    flag!,
    {
      nargs: type === undefined ? 0 : ((many || 1) as FlagFacts['nargs']),
      type: (type ?? 'str') as FlagFacts['type'],
      ...(choices && { choices: choices.split('|') }),
      releases: releases ? (releases.split(',') as Release[]) : RELEASES,
    },
  ];
}

/** Every flag of every release. */
const allFlags = (): Map<string, FlagFacts> => (all ??= new Map(RELEASE_FLAGS.trim().split('\n').map(factsOf)));

export const flagsOf = (release: Release): Map<string, FlagFacts> =>
  new Map([...allFlags()].filter(([, { releases }]) => releases.includes(release)));

/** Whether a release's parser was asked itself: what was read out of the sources of others misses choices. */
export const isAsked = (release: Release): boolean => release === '2.3.0' || release === '26.0.0';

/** What is known of a flag, in whatever release. */
export const factsAbout = (flag: string): FlagFacts | undefined => allFlags().get(flag);
