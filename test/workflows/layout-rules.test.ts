/** Whether model, layout, batch and cluster fit together: each mistake with its arithmetic, all in one answer. */
import { describe, expect, it } from 'vitest';
import type { Release } from '../../workflows/releases.js';
import { parseRunSpec, describeProblems } from '../../workflows/spec.js';
import { warningsAbout } from '../../workflows/warnings.js';
import { RECOMMENDED, recommended, specOf } from '../support/run-files.js';

const MOE = {
  ...{ layers: 6, hidden: 64, ffn: 128, heads: 8, groups: 4, headDim: 8, vocab: 512, maxPositions: 1024 },
  moe: { experts: 8, topk: 2, ffn: 32 },
};

interface Changes {
  sizes?: object;
  parallel?: object;
  train?: object;
  cluster?: object;
  release?: string;
}

const file = ({ sizes, parallel, train, cluster, release }: Changes): unknown => ({
  model: { sizes: { ...MOE, ...sizes } },
  tokenizer: { source: 'hf://a/b' },
  dataset: { source: 'hf://c/d/*.parquet' },
  cluster: { nodes: 2, devicesPerNode: 8, ...cluster },
  ...(parallel && { parallel }),
  train: { iterations: 20, globalBatch: 32, seqLength: 128, saveInterval: 10, ...train },
  ...(release && { mindspeed: { release } }),
});

const answer = (changes: Changes): string => {
  const parsed = parseRunSpec(file(changes), 'run');
  return 'problems' in parsed ? describeProblems(parsed.problems) : 'fits';
};

describe('a layout that does not fit is refused with the arithmetic', () => {
  it.each<[string, Changes, string]>([
    [
      'world',
      { parallel: { tp: 2, pp: 2, cp: 3 } },
      'parallel: expected tp·pp·cp = 2·2·3 = 12 that divides the world of 2 nodes × 8 devices = 16',
    ],
    [
      'batch',
      { parallel: { pp: 2 }, train: { globalBatch: 30, microBatch: 2 } },
      'train.globalBatch: expected a multiple of microBatch·dp = 2·8 = 16, got 30',
    ],
    [
      'interleaved batch',
      { parallel: { pp: 2, layersPerVirtualStage: 1 }, train: { globalBatch: 24 } },
      'train.globalBatch: expected globalBatch/(microBatch·dp) that is a multiple of pp = 2, since stages are interleaved; it is 24/(1·8) = 3',
    ],
    ['heads', { sizes: { heads: 12 }, parallel: { tp: 8 } }, "parallel.tp: expected a divisor of the model's 12 heads"],
    ['groups', { parallel: { tp: 8 } }, "parallel.tp: expected a divisor of the model's 4 key-value groups, got 8"],
    ['heads and groups', { sizes: { groups: 3 } }, 'model.sizes.groups: expected a divisor of heads = 8, got 3'],
    ['width', { sizes: { ffn: 130 }, parallel: { tp: 4 } }, "parallel.tp: expected a divisor of the model's ffn = 130"],
    [
      'layers',
      { parallel: { pp: 4 } },
      "parallel.pp: expected a divisor of the model's 6 layers, or parallel.noopLayers",
    ],
    [
      'layers with empty ones',
      { parallel: { pp: 4, noopLayers: [6] } },
      "parallel.pp: expected a divisor of the model's 6 + 1 noop = 7 layers, got 4",
    ],
    [
      'empty layers out of range',
      { parallel: { pp: 4, noopLayers: [6, 9] } },
      'parallel.noopLayers: expected different places below layers + noop = 6 + 2 = 8, got [6,9]',
    ],
    [
      'chunks',
      { parallel: { pp: 2, layersPerVirtualStage: 2 } },
      'parallel.layersPerVirtualStage: expected a divisor of the layers of a stage, and less: (6 + 0 noop)/pp = 6/2 = 3, got 2',
    ],
    [
      'chunks of one stage',
      { parallel: { layersPerVirtualStage: 2 } },
      'parallel.layersPerVirtualStage: expected no such field with pp = 1',
    ],
    ['experts', { parallel: { ep: 16 } }, "parallel.ep: expected a divisor of the model's 8 experts, got 16"],
    [
      'expert grid',
      { parallel: { pp: 4, ep: 8, noopLayers: [0, 7] } },
      'parallel.ep: expected ep·etp = 8·1 = 8 that divides dp·cp·tp = 4·1·1 = 4, got 8',
    ],
    [
      'experts along the replicas in Megatron 0.8',
      { parallel: { tp: 4, ep: 8, etp: 4 }, release: '2.1.0', cluster: { nodes: 4 } },
      'fits',
    ],
    [
      'experts beside a split sequence in Megatron 0.8',
      { parallel: { tp: 4, cp: 2, ep: 8 }, release: '2.1.0', cluster: { nodes: 8 }, train: { seqLength: 128 } },
      'parallel.ep: expected 1 with parallel.cp = 2 and MindSpeed-LLM 2.1.0, got 8',
    ],
    [
      'a sequence that is split over tp as well',
      { parallel: { tp: 4, cp: 2 }, train: { seqLength: 124 } },
      'train.seqLength: expected a multiple of tp·cp = 4·2 = 8, since sequences are split (--sequence-parallel), got 124',
    ],
    [
      'experts beyond the replicas in Megatron 0.8',
      { parallel: { tp: 2, cp: 4, ep: 8 }, release: '2.1.0', cluster: { nodes: 4 } },
      'parallel.ep: expected a divisor of dp = 4, since Megatron 0.8 cuts experts along it, got 8',
    ],
    [
      'experts cut otherwise',
      { parallel: { tp: 4, etp: 2 } },
      'parallel.etp: expected 1 or tp = 4: the converter knows no other',
    ],
    [
      'experts whole in 2.1.0',
      { parallel: { tp: 4, etp: 1 }, release: '2.1.0' },
      'parallel.etp: expected no such field with MindSpeed-LLM 2.1.0, got 1',
    ],
    [
      'sequence',
      { parallel: { cp: 2 }, train: { seqLength: 126 } },
      'train.seqLength: expected a multiple of 2·cp = 2·2 = 4',
    ],
    [
      'positions',
      { train: { seqLength: 2048 } },
      "train.seqLength: expected at most the model's 1024 positions, got 2048",
    ],
  ])('%s', (_, changes, expected) => expect(answer(changes)).toContain(expected));

  it('experts in a dense model', () => {
    const { moe: _, ...sizes } = MOE;
    const dense = { ...(file({ parallel: { ep: 2 } }) as object), model: { sizes } };
    const parsed = parseRunSpec(dense, 'run');
    expect(parsed).toMatchObject({
      problems: [{ path: 'parallel.ep', expected: '1, since the model has no experts', value: '2' }],
    });
  });
});

describe('what the flags of a preset do not go with is refused as well', () => {
  const large = (release: Release, parallel: object, extraArgs = {}, more = {}) => {
    const file = {
      model: { preset: 'qwen3-235b-a22b', ...more },
      tokenizer: { source: 'hf://a/b' },
      dataset: { source: 'hf://c/d/*.parquet' },
      cluster: { nodes: 16, devicesPerNode: 16, machine: 'A3' },
      parallel: { pp: 4, ep: 32, noopLayers: [94, 95], ...parallel },
      train: { iterations: 20, globalBatch: 1024, seqLength: 4096, saveInterval: 10, extraArgs },
      mindspeed: { release },
    };
    const parsed = parseRunSpec(file, 'run');
    return 'problems' in parsed ? describeProblems(parsed.problems) : 'fits';
  };
  const OVERLAP = '--moe-alltoall-overlap-comm';

  it.each<[Release, object, object, string]>([
    ['26.0.0', {}, {}, 'fits'],
    ['26.0.0', { tp: 2 }, {}, `parallel.tp: expected 1 with ${OVERLAP} (false in train.extraArgs takes it away)`],
    ['2.1.0', { tp: 2 }, {}, `parallel.tp: expected 1 with ${OVERLAP}`],
    ['26.0.0', { tp: 2 }, { [OVERLAP]: false }, 'fits'],
    [
      '26.0.0',
      { tp: 2, etp: 1 },
      {},
      'parallel.etp: expected none, or tp = 2: --moe-token-dispatcher-type alltoall_seq',
    ],
    ['26.0.0', { tp: 2, etp: 1 }, { '--moe-token-dispatcher-type': 'alltoall' }, 'fits'],
    ['26.0.0', { ep: 1 }, {}, 'fits'],
    ['26.1.0', { ep: 1 }, {}, `parallel.ep: expected more than 1 with ${OVERLAP}`],
  ])('in %s %j with %j', (release, parallel, extraArgs, expected) =>
    expect(large(release, parallel, extraArgs)).toContain(expected),
  );

  it('sequences of any length are taken where they are not split', () => {
    const dense = file({ parallel: { tp: 4 }, train: { seqLength: 127 } }) as { model: { sizes: object } };
    const { moe: _, ...sizes } = MOE;
    const answerTo = (extraArgs: object) => {
      const parsed = parseRunSpec(
        { ...dense, model: { sizes }, train: { ...(dense as { train?: object }).train, extraArgs } },
        'run',
      );
      return 'problems' in parsed ? describeProblems(parsed.problems) : 'fits';
    };
    expect(answerTo({})).toBe('fits');
    expect(answerTo({ '--sequence-parallel': true })).toContain('a multiple of tp·cp = 4·1 = 4');
  });
});

describe('one mistake does not hide another', () => {
  const pathsOf = (input: unknown) => {
    const parsed = parseRunSpec(input, 'run');
    return 'problems' in parsed ? parsed.problems.map(({ path }) => path) : [];
  };

  it('rules are judged as soon as their own fields are right', () => {
    const input = file({
      parallel: { tp: 8, pp: 4 },
      train: { iterations: 20, saveInterval: 30, globalBatch: 'many', seqLength: 2048 },
      cluster: { spares: 'two' },
    });
    expect(pathsOf(input).sort()).toEqual([
      ...['cluster.spares', 'parallel', 'parallel.pp', 'parallel.tp'],
      ...['train.globalBatch', 'train.saveInterval', 'train.seqLength'],
    ]);
  });

  it('and nothing is said about a rule whose fields are wrong', () => {
    expect(pathsOf(file({ cluster: { nodes: 'two' }, parallel: { tp: 4, pp: 7 } }))).toEqual([
      'cluster.nodes',
      'parallel.pp',
    ]);
    expect(pathsOf({ ...(file({}) as object), model: 'qwen3' })).toEqual(['model']);
  });
});

describe('a preset brings its layout', () => {
  it('for the machine, unless the run file has its own', () => {
    expect(recommended('qwen3-32b', 'A2', '26.0.0')).toMatchObject({
      parallel: { tp: 8, pp: 2, layersPerVirtualStage: 8 },
      train: { microBatch: 2 },
    });
    expect(recommended('qwen3-32b', 'A3', '26.0.0').parallel).toMatchObject({ layersPerVirtualStage: 4 });
    const own = recommended('qwen3-32b', 'A2', '26.0.0', { parallel: { tp: 8 } });
    expect([own.parallel, own.train.microBatch]).toEqual([{ tp: 8, pp: 1, cp: 1, ep: 1 }, 1]);
  });

  it('and says so where there is none', () => {
    const input = {
      ...(file({ cluster: { nodes: 16, devicesPerNode: 16 }, release: '2.3.0' }) as object),
      model: { preset: 'qwen3-coder-480b-a35b' },
    };
    expect(answerOf(input)).toContain(
      'parallel: expected a layout, since MindSpeed-LLM 2.3.0 recommends none for qwen3-coder-480b-a35b on A2, got nothing',
    );
  });

  it('that fits its own cluster, for every machine and release', () => {
    expect(RECOMMENDED.length).toBeGreaterThan(60);
    for (const { preset, machine, release } of RECOMMENDED) recommended(preset, machine, release);
  });
});

const answerOf = (input: unknown): string => {
  const parsed = parseRunSpec(input, 'run');
  return 'problems' in parsed ? describeProblems(parsed.problems) : 'fits';
};

describe('a warning', () => {
  it('is given for a layout that will not fit into memory, with the arithmetic', () => {
    const spec = recommended('qwen3-14b', 'A2', '26.0.0', { parallel: { tp: 1, pp: 2 } });
    expect(warningsAbout(spec)).toEqual([
      expect.stringMatching(
        /needs about \d+\.\d GiB of a device's 64\.0 GiB: weights, gradients and optimizer of 7\.\d\d billion/,
      ),
    ]);
  });

  it('is given for a tokenizer that pads with its end of text', () => {
    const base = specOf(file({}), 'run');
    expect(warningsAbout(base)).toEqual([]);
    const spec = { ...base, tokenizer: { ...base.tokenizer, source: 'hf://Qwen/Qwen3-8B-Base@main' } };
    expect(warningsAbout(spec)).toEqual([expect.stringContaining('pads with its end-of-text token')]);
  });

  it('is given where no example is shipped for the machine', () => {
    expect(warningsAbout(recommended('qwen3-4b', 'A3', '26.0.0'))).toEqual([
      expect.stringContaining('ships no example for qwen3-4b on A3'),
    ]);
  });
});

describe("MindIO's flags", () => {
  const withFlag = (flag: string, more: Changes = {}) =>
    answer({ ...more, train: { extraArgs: { [flag]: true }, ...more.train } });

  it.each(['--enable-high-availability', '--enable-hbmfault-repair', '--enable-worker-reboot'])(
    '%s is passed on where replicas come in pairs, and refused with the arithmetic where they do not',
    (flag) => {
      const extraArgs = { '--enable-high-availability': true, [flag]: true };
      expect(withFlag(flag, { parallel: { tp: 2, pp: 2 }, train: { extraArgs } })).toBe('fits');
      expect(withFlag(flag, { parallel: { tp: 4, pp: 2 }, cluster: { nodes: 1 } })).toContain(
        `train.extraArgs.${flag}: expected no such flag with this layout: it needs an even number of replicas, and dp = world/(tp·pp·cp) = 8/(4·2·1) = 1`,
      );
      expect(
        withFlag(flag, {
          parallel: { tp: 4, pp: 2 },
          cluster: { nodes: 3 },
          train: { globalBatch: 33, extraArgs: { [flag]: true } },
        }),
      ).toContain('= 24/(4·2·1) = 3');
    },
  );

  it('go with no program that they exclude, be it the preset that brings it', () => {
    const extraArgs = { '--enable-high-availability': true, '--swap-attention': true };
    expect(answer({ parallel: {}, train: { extraArgs } })).toContain('together with --swap-attention');
    const large = (more: object) =>
      parseRunSpec(
        {
          model: { preset: 'qwen3-235b-a22b' },
          tokenizer: { source: 'hf://a/b' },
          dataset: { source: 'hf://c/d/*.parquet' },
          cluster: { nodes: 16, devicesPerNode: 16, machine: 'A3' },
          train: {
            ...{ iterations: 20, globalBatch: 1024, seqLength: 4096, saveInterval: 10 },
            extraArgs: { '--enable-high-availability': true, ...more },
          },
        },
        'run',
      );
    expect(JSON.stringify(large({}))).toContain('together with --disable-gloo-group');
    expect(large({ '--disable-gloo-group': false })).toHaveProperty('spec');
  });

  it('let replicas come and go only whole', () => {
    const flag = '--enable-elastic-training';
    const extraArgs = { '--enable-high-availability': true, [flag]: true };
    expect(withFlag(flag, { parallel: {}, train: { extraArgs } })).toBe('fits');
    expect(withFlag(flag, { parallel: { ep: 2 }, train: { extraArgs } })).toContain('parallel.ep = 2');
    expect(
      withFlag(flag, { parallel: {}, train: { extraArgs: { [flag]: true, '--reuse-fp32-param': true } } }),
    ).toContain('together with --reuse-fp32-param');
  });

  it.each(['--enable-hbmfault-repair', '--enable-worker-reboot', '--enable-elastic-training'])(
    '%s is nothing without the one that they are parts of',
    (flag) => {
      expect(withFlag(flag, { parallel: {} })).toContain(
        `train.extraArgs.${flag}: expected no such flag without "--enable-high-availability": true`,
      );
    },
  );
});
