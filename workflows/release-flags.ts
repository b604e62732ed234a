/** What the parser of a release of MindSpeed-LLM knows: its flags, how many values each takes, and which. */
import { FSDP2_FLAGS } from './fsdp2-flag-list.js';
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

export type TrainingScript = 'pretrain_gpt.py' | 'train_fsdp2.py';

const LISTS: Record<TrainingScript, string> = { 'pretrain_gpt.py': RELEASE_FLAGS, 'train_fsdp2.py': FSDP2_FLAGS };
const all: Partial<Record<TrainingScript, Map<string, FlagFacts>>> = {};

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
const allFlags = (script: TrainingScript): Map<string, FlagFacts> =>
  (all[script] ??= new Map(LISTS[script].trim().split('\n').map(factsOf)));

export const flagsOf = (release: Release, script: TrainingScript = 'pretrain_gpt.py'): Map<string, FlagFacts> =>
  new Map([...allFlags(script)].filter(([, { releases }]) => releases.includes(release)));

/** Whether a release's parser was asked itself: what was read out of the sources of others misses choices. */
export const isAsked = (release: Release, script: TrainingScript): boolean =>
  script === 'train_fsdp2.py' || release === '2.3.0' || release === '26.0.0';

/** What is known of a flag, in whatever release. */
export const factsAbout = (flag: string, script: TrainingScript = 'pretrain_gpt.py'): FlagFacts | undefined =>
  allFlags(script).get(flag);
