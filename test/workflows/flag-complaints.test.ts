/** Flags of one's own are held against the release before a node is touched. */
import { describe, expect, it } from 'vitest';
import { flagComplaints } from '../../workflows/flag-complaints.js';
import { extraArgs } from '../../workflows/extra-args.js';
import { factsAbout, flagsOf } from '../../workflows/release-flags.js';
import { RELEASES, type Release } from '../../workflows/releases.js';

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

  it.each(['/etc/shadow', '../other', 'a/../../b', '..', 's3://bucket/x', 'file:///etc/passwd', '~/.ssh', '$HOME/x'])(
    'names no path outside of the data directory, such as %s',
    (path) => {
      const flags = { '--tensorboard-dir': path, '--profile-save-path': path, '--train-data-path': ['0.5', path] };
      expect(about(flags).map((complaint) => complaint.path)).toEqual(
        Object.keys(flags).map((flag) => `train.extraArgs.${flag}`),
      );
    },
  );

  it.each(['runs/fence.json', './/runs/x', 'node-name', 'access', 'series/s/checkpoints', '.alive', '.', ''])(
    'names no path that is the node’s own, such as "%s"',
    (path) => {
      expect(expected({ '--memory-snapshot-path': path })).toEqual([expect.stringMatching(/^a path of your own/)]);
    },
  );

  it('that may be a path is known for one, in every release', () => {
    const taken = RELEASES.flatMap((release) =>
      [...flagsOf(release)]
        .filter(([, { type, nargs, choices }]) => type === 'str' && nargs !== 0 && !choices)
        .map(([flag]) => flag)
        .filter((flag) => extraArgs.safeParse({ [flag]: '/etc' }).success)
        .filter((flag) => about({ [flag]: '/etc' }, release).length === 0),
    );
    expect([...new Set(taken)].sort()).toEqual(NO_PATHS);
  });

  it.each([
    '--pretrained-checkpoint',
    '--lora-load',
    '--ref-model',
    '--yaml-cfg',
    '--tokenizer-kwargs',
    '--master-addr',
  ])('is refused where it would bring code or flags from elsewhere: %s', (flag) => {
    expect(RELEASES.some((release) => factsAbout(flag)?.releases.includes(release))).toBe(true);
    expect(extraArgs.safeParse({ [flag]: 'x' }).error?.issues[0]?.message).toMatch(/^no such flag here/);
  });

  it.each(['-1', '2', '[0,1,1]', '([0]*3+[1]*1)*2', '[0] + [1]*27', '([1]+[0]*2)*9+[1]'])(
    'takes a pattern of layers: %s',
    (pattern) => {
      expect(about({ '--moe-layer-freq': pattern })).toEqual([]);
    },
  );

  it.each([
    "[__import__('os').system('id')]",
    '[1 for _ in iter(int, 1)]',
    '[9**9**9]',
    '[1]*999*999999',
    '[(1)]',
    '[',
    '',
  ])('takes no Python for a pattern, which Megatron would run: %s', (pattern) => {
    expect(expected({ '--moe-layer-freq': pattern })).toEqual([expect.stringMatching(/^a whole number, or lists/)]);
  });

  it.each(['a\0b', 'a\nb', '\u001b[2J'])('has no control characters in its values, such as %j', (value) => {
    expect(extraArgs.safeParse({ '--wandb-project': ['x', value] }).success).toBe(false);
  });

  it('takes any choice where only the sources of a release were read, which miss some', () => {
    expect(about({ '--optimizer': 'muon' }, '26.1.0')).toEqual([]);
    expect(expected({ '--optimizer': 'muon' }, '26.0.0')).toEqual(['one of adam, sgd']);
  });

  it('that a checkout has beyond its release is taken when the run file names it, and still no path outside', () => {
    const own = ['--our-router', '--our-data-path'];
    expect(about({ '--our-router': ['a', 2], '--our-data-path': 'x' }, '26.0.0', own)).toEqual([]);
    expect(expected({ '--our-data-path': '/etc' }, '26.0.0', own)).toEqual([expect.stringMatching(/^a path under/)]);
    expect(about({ '--our-router': 'a' })).toHaveLength(1);
    expect(expected({ '--our-router': ['a', '/etc'] }, '26.0.0', own)).toEqual([
      expect.stringMatching(/^a path under/),
    ]);
  });
});

/** Of the flags that take any text, those that name no file: whoever adds one here has looked at what the trainer does with it. */
const NO_PATHS = `
  add-eos-token advantage-whiten ai-framework aiqos-mode aiqos-schedule app-tag-run-name app-tag-run-version
  auto-settings-log-level auto-settings-type auto-tuning-log-level autocast-dtype compress-activation
  compress-dense cp-comm-type dataset-additional-keys dataset-category dist-ckpt-format drop-thinking
  enable-thinking experimental-attention-variant extract-content-for-reward fc-type handler-name
  hccl-group-buffer hccl-op-mode heterogeneous-layers-config-encoded-json hybrid-override-pattern
  index-topk-pattern instruction-template interleave-probs json-keys lazy-mpu-init long-factor
  lora-modules-to-save lora-register-forward-hook lora-target-modules map-keys merge-group-keys moe-model-type
  muon-coefficient-type muon-fp32-matmul-prec muon-scalar-optimizer muon-scale-mode muon-tp-mode
  noisy-gate-policy one-logger-project one-logger-run-name onnx-safe optimized-mbs-list placeholder-token
  pp-schedule-list qat-scheme rampup-batch-size reasoning-effort recompute-module-list recompute-modules
  reward-tokens scale-fmt short-factor simpo-loss-type split swap-modules task tiktoken-pattern
  tiktoken-special-tokens tokenizer-padding-side ttp-server-ip virtual-optimizer wandb-exp-name wandb-project
`
  .trim()
  .split(/\s+/)
  .map((name) => `--${name}`);
