/** Which tensors a model has in either format, against what the real converter wrote. */
import { describe, expect, it } from 'vitest';
import { configOf, isOfModel, ropeBaseOf, saidOf, saidOtherwise, tensorsOf } from '../../workflows/hugging-face.js';
import { parametersOf } from '../../workflows/memory.js';
import { presets, type ModelSizes } from '../../workflows/presets.js';
import { allShards, stageOf, type Parallel } from '../../workflows/topology.js';
import { differingShapes, huggingFaceShapes, stageShapes, type Shapes } from '../../workflows/weight-shapes.js';
import { readFixture } from '../support/arguments.js';
import { RECOMMENDED, recommended } from '../support/run-files.js';

interface Dense {
  models: Record<string, Record<string, string>>;
  cases: Record<string, { arguments: string[]; files?: Record<string, { tensors?: Record<string, string> }> }>;
}
interface Experts {
  sizes: ModelSizes;
  cases: Record<string, { parallel: Parallel; shards: { of: string[]; models: Record<string, Shapes> }[] }>;
  back: Shapes;
}

/** Of golden's four models; see its README. */
const DENSE: ModelSizes = {
  ...{ layers: 4, hidden: 64, ffn: 192, heads: 4, groups: 2, headDim: 16, vocab: 512, maxPositions: 4096 },
  ...{ tied: false, ropeBase: 1_000_000 },
};

/** `float32[512,64] 7eab…` is [512, 64]. */
const shapesIn = (tensors: Record<string, string>): Shapes =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, text]) => [name, /\[(.*)\]/.exec(text)![1]!.split(',').map(Number)]),
  );

const { models, cases } = readFixture('golden/convert/cases.json') as Dense;
const experts = readFixture('golden/convert/experts.json') as Experts;

describe('the tensors of a dense model', () => {
  it.each(Object.keys(models))('are those of %s, with their shapes', (name) => {
    expect(huggingFaceShapes({ ...DENSE, tied: name.includes('tied') })).toEqual(shapesIn(models[name]!));
  });

  // The other cases are laid out as no run file can say.
  const layouts = Object.keys(cases).filter((name) => /^(mg-.*-tp\dpp\d|noop)$/.test(name));
  it.each(layouts)('are in the shards of %s as the converter wrote them', (name) => {
    const [, tp, pp] = /tp(\d)pp(\d)/.exec(name) ?? [0, 1, 2];
    const parallel = { tp: Number(tp), pp: Number(pp), cp: 1, ep: 1, ...(name === 'noop' && { noopLayers: [1, 5] }) };
    const sizes = { ...DENSE, tied: name.includes('tied') };
    const files = Object.entries(cases[name]!.files!).filter(([, { tensors }]) => tensors);
    expect(files).toHaveLength(parallel.tp * parallel.pp);
    for (const [file, { tensors }] of files)
      expect(stageShapes(sizes, parallel, stageOf(parallel, file.split('/')[1]!))).toEqual({
        model: shapesIn(tensors!),
      });
  });
});

describe('the tensors of a model with experts', () => {
  it.each(Object.keys(experts.cases))('are in the shards of %s as the converter wrote them', (name) => {
    const { parallel, shards } = experts.cases[name]!;
    for (const { of, models: written } of shards)
      for (const shard of of)
        expect([shard, stageShapes(experts.sizes, parallel, stageOf(parallel, shard))]).toEqual([shard, written]);
  });

  it('are those of the model that comes back', () => {
    expect(huggingFaceShapes(experts.sizes)).toEqual(experts.back);
  });

  it('are in the shards that the ranks of the layout load', () => {
    for (const { parallel, shards } of Object.values(experts.cases)) {
      const world = parallel.pp * Math.max(parallel.tp, parallel.ep * (parallel.etp ?? parallel.tp));
      expect(shards.flatMap(({ of }) => of).sort()).toEqual(allShards(parallel, world));
    }
  });
});

const weightsIn = (shapes: Shapes): number =>
  Object.values(shapes).reduce((sum, shape) => sum + shape.reduce((product, length) => product * length, 1), 0);

describe.each(RECOMMENDED.filter(({ release }) => release === '26.0.0'))(
  'of $preset as it is trained on $machine',
  ({ preset, machine, release }) => {
    const { sizes, parallel } = recommended(preset, machine, release);
    const { total } = parametersOf(sizes);
    const norms = sizes.layers * 2 * (sizes.hidden + sizes.headDim) + sizes.hidden;

    it('there are as many tensors and weights as the model has', () => {
      const shapes = huggingFaceShapes(sizes);
      expect(Object.keys(shapes)).toHaveLength(tensorsOf(sizes));
      expect(weightsIn(shapes)).toBe(total + norms);
    });

    it('every weight is in the shards once, but for what each rank keeps whole', () => {
      const { tp, pp, ep, etp = tp } = parallel;
      const stages = Array.from({ length: pp }, (_, stage) => Object.values(stageShapes(sizes, parallel, stage)));
      const weights = stages.flat().reduce((sum, shapes) => {
        const partsOf = (name: string) =>
          name.includes('.experts.') ? ep * etp : /layernorm|router/.test(name) ? 1 : tp;
        const all = Object.entries(shapes).map(([name, shape]) => partsOf(name) * weightsIn({ [name]: shape }));
        return sum + all.reduce((more, count) => more + count, 0);
      }, 0);
      const copies = sizes.tied && pp > 1 ? sizes.vocab * sizes.hidden : 0;
      expect(weights).toBe(total + norms + copies);
    });
  },
);

describe('what differs', () => {
  const wanted = { a: [2, 3], b: [4], c: [1], d: [1], e: [1] };

  it('is nothing where all is there', () => {
    expect(differingShapes({ ...wanted }, wanted)).toEqual([]);
  });

  it('is told by name, the first three of each kind', () => {
    expect(differingShapes({ a: [3, 2], x: [1] }, wanted)).toEqual([
      '4 missing: b, c, d and others',
      '1 that the model does not have: x',
      '1 of another shape: a [3,2] instead of [2,3]',
    ]);
  });
});

it('presets without experts have none in any shard', () => {
  const shapes = stageShapes(presets['qwen3-8b'], { tp: 1, pp: 2, cp: 1, ep: 1 }, 0);
  expect(Object.keys(shapes['model']!).filter((name) => name.includes('experts'))).toEqual([]);
});

describe('what shapes do not tell', () => {
  const spec = (extraArgs = {}) => recommended('qwen3-8b', 'A2', '26.1.0', { train: { extraArgs } });
  const config = { rope_theta: 1_000_000, rms_norm_eps: 1e-6, rope_scaling: null };
  const newer = { rms_norm_eps: 1e-6, rope_parameters: { rope_theta: 1_000_000, rope_type: 'default' } };

  it('is what the configuration says, before and since transformers 5, or is named', () => {
    for (const same of [config, newer, {}]) expect(saidOtherwise(same, saidOf(spec()))).toEqual([]);
    const long = { rope_theta: 5_000_000, rope_type: 'yarn', factor: 4 };
    for (const other of [
      { ...config, rope_theta: 5_000_000, rope_scaling: { rope_type: 'yarn', factor: 4 } },
      { ...newer, rope_parameters: long },
    ])
      expect(saidOtherwise(other, saidOf(spec()))).toEqual([
        'rope_theta is 5000000 there, and training would have 1000000',
        'rope_type is "yarn" there, and training would have "default"',
      ]);
  });

  it('may be said in the run file', () => {
    const said = saidOf(spec({ '--rotary-base': 5_000_000, '--norm-epsilon': 1e-5, '--rope-scaling-type': 'yarn' }));
    expect(said).toEqual({ rope_theta: 5_000_000, rms_norm_eps: 1e-5 });
    expect(ropeBaseOf(spec({ '--rotary-base': false }))).toBe(10_000);
  });

  it("makes the configuration beside a tokenizer another model's, which an export then does not take", () => {
    const wanted = configOf(spec().sizes);
    const { rope_theta: base, ...rest } = wanted;
    for (const same of [wanted, { ...rest, rope_parameters: { rope_theta: base } }])
      expect(isOfModel(same, wanted)).toBe(true);
    expect(isOfModel({ ...wanted, rope_theta: 5_000_000 }, wanted)).toBe(false);
  });
});
