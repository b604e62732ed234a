/** Flags of one's own are held against the release before a node is touched. */
import { describe, expect, it } from 'vitest';
import { flagComplaints } from '../../workflows/flag-complaints.js';
import type { Release } from '../../workflows/releases.js';

const about = (flags: object, release: Release = '26.0.0', addedFlags: string[] = []) =>
  flagComplaints(flags, { release, addedFlags });
const expected = (flags: object, release?: Release, added?: string[]) =>
  about(flags, release, added).map((complaint) => complaint.expected);

describe('a flag in train.extraArgs', () => {
  it.each<[string, object]>([
    ['with one value', { '--lr': 1e-4, '--recompute-granularity': 'full', '--seed': '7' }],
    ['that is a switch', { '--log-throughput': true }],
    [
      'with several values',
      { '--profile-ranks': [0, 1], '--spec': ['mindspeed_llm.tasks.models.spec.qwen3_spec', 'x'] },
    ],
    ['that takes a default away', { '--bf16': false }],
    ['with a path in the data directory', { '--profile-save-path': 'profiles/a..b' }],
  ])('is taken %s', (_, flags) => {
    expect(about(flags)).toEqual([]);
  });

  it.each<[string, object, RegExp]>([
    [
      'is misspelt',
      { '--recompute-granularty': 'full' },
      /^a flag of pretrain_gpt\.py in MindSpeed-LLM 26\.0\.0 .*addedFlags$/,
    ],
    ['is of other releases', { '--auto-tuning': true }, /which has none of this name; 2\.1\.0 has it\./],
    ['is a switch with a value', { '--log-throughput': 'yes' }, /^true or false/],
    ['lacks its value', { '--lr': true }, /^one value$/],
    ['has too many', { '--lr': [1, 2] }, /^one value$/],
    ['lacks any of several', { '--profile-ranks': true }, /^one value or more$/],
    ['is no whole number', { '--seed': 1.5 }, /^a whole number$/],
    ['is no number', { '--lr': 'fast' }, /^a number$/],
    ['is an object that is no text', { '--lr': { toString: 1, valueOf: 1 } }, /^a number$/],
    ['is none of its choices', { '--recompute-granularity': 'ful' }, /^one of full, selective$/],
    ['imports what is not of the checkout', { '--spec': ['evil.module', 'f'] }, /^a module of mindspeed_llm/],
  ])('is refused where it %s', (_, flags, what) => {
    expect(expected(flags)).toEqual([expect.stringMatching(what)]);
  });

  it.each(['/etc/shadow', '../other', 'a/../../b', '..', 's3://bucket/x', 'file:///etc/passwd'])(
    'names no path outside of the data directory, such as %s',
    (path) => {
      const flags = { '--tensorboard-dir': path, '--profile-save-path': path, '--train-data-path': ['0.5', path] };
      expect(about(flags).map((complaint) => complaint.path)).toEqual(
        Object.keys(flags).map((flag) => `train.extraArgs.${flag}`),
      );
    },
  );

  it('takes any choice where only the sources of a release were read, which miss some', () => {
    expect(about({ '--optimizer': 'muon' }, '26.1.0')).toEqual([]);
    expect(expected({ '--optimizer': 'muon' }, '26.0.0')).toEqual(['one of adam, sgd']);
  });

  it('that a checkout has beyond its release is taken when the run file names it, and still no path outside', () => {
    const own = ['--our-router', '--our-data-path'];
    expect(about({ '--our-router': ['a', 2], '--our-data-path': 'x' }, '26.0.0', own)).toEqual([]);
    expect(expected({ '--our-data-path': '/etc' }, '26.0.0', own)).toEqual([expect.stringMatching(/^a path under/)]);
    expect(about({ '--our-router': 'a' })).toHaveLength(1);
  });
});
