/** Who may have the trainer convert published weights itself, and on which storage it does so rightly. */
import { describe, expect, it } from 'vitest';
import { publishedSaid, whyNotOnline } from '../../workflows/online-conversion.js';
import { describePlan, planRun } from '../../workflows/plan-page.js';
import { RELEASES } from '../../workflows/releases.js';
import { parseRunSpec } from '../../workflows/spec.js';
import { specOf } from '../support/run-files.js';

const file = (more: Record<string, object> = {}) => ({
  model: { preset: 'qwen3-8b', init: 'pretrained', weights: 'hf://a/b@main', convert: 'online', ...more['model'] },
  dataset: { source: 'hf://c/d@main/*.jsonl' },
  cluster: { nodes: 2, devicesPerNode: 8, ...more['cluster'] },
  parallel: { pp: 4, ...more['parallel'] },
  train: { iterations: 8, globalBatch: 64, seqLength: 128, saveInterval: 4, ...more['train'] },
  mindspeed: { release: '26.1.0', ...more['mindspeed'] },
});
const answers = (more: Record<string, object>) => {
  const parsed = parseRunSpec(file(more), 'run');
  return 'problems' in parsed ? parsed.problems : [];
};

describe('model.convert "online"', () => {
  it.each<[string, Record<string, object>, RegExp]>([
    ['random weights', { model: { init: 'random' } }, /since model\.init is "random": there is nothing to convert/],
    [
      'a release without it',
      { mindspeed: { release: '2.2.0' } },
      /MindSpeed-LLM 2\.2\.0 has no --enable-hf2mg-convert/,
    ],
    [
      'a release of which no number says how it names its directory',
      { mindspeed: { release: '2.3.0' } },
      /some checkouts of MindSpeed-LLM 2\.3\.0 call the directory .* --mg-cache-dir and others --mg-save-dir/,
    ],
    [
      '235 billion parameters',
      { model: { preset: 'qwen3-235b-a22b' }, parallel: { noopLayers: [94, 95] } },
      /while one converts 235 billion parameters, at each launch; MindSpeed-LLM says so from 100 billion on/,
    ],
    ['FSDP2', { train: { backend: 'fsdp2' } }, /train\.backend "fsdp2" trains published weights as they are/],
  ])('is refused for %s', (_, more, why) => {
    const about = answers(more).filter(({ path }) => path === 'model.convert');
    expect(about).toEqual([
      { path: 'model.convert', expected: expect.stringMatching(why) as string, value: '"online"' },
    ]);
    expect(about[0]!.expected).toMatch(/^"offline", /);
  });

  it('is taken where the trainer does it', () => {
    const taken = RELEASES.filter((release) => answers({ mindspeed: { release } }).length === 0);
    expect(taken).toEqual(['26.0.0', '26.1.0']);
    expect(answers({ parallel: { noopLayers: [36, 37, 38, 39] } })).toEqual([]);
  });

  it.each(['--enable-hf2mg-convert', '--enable-mg2hf-convert', '--mg-save-dir', '--hf-save-dir'])(
    'is the one way to ask for it: %s is no flag of a run file',
    (flag) =>
      expect(answers({ train: { extraArgs: { [flag]: true } } })).toMatchObject([{ path: `train.extraArgs.${flag}` }]),
  );

  it('is on the page of the plan, with what it takes, and no conversion by hand', () => {
    const spec = specOf(file());
    const page = describePlan(planRun(spec), spec);
    expect(page).toContain('on every node: the published config.json and *.safetensors in $DATA/models/$WEIGHTS/hf.');
    expect(page).toContain('export WEIGHTS=');
    expect(page).toMatch(/warning: model\.convert is "online": each launch until the first checkpoint converts/);
    expect(page).toContain('--load "models/$WEIGHTS/hf" --enable-hf2mg-convert --model-type-hf qwen3');
    expect(page).not.toContain('on the first node, once for this layout');
  });

  it('has the published model held against the run file, as nobody looks at what was converted', () => {
    expect(publishedSaid(specOf(file()))).toMatchObject({
      ...{ num_hidden_layers: 36, hidden_size: 4096, num_key_value_heads: 8, tie_word_embeddings: false },
      ...{ rope_theta: 1_000_000, vocab_size: 151_936 },
    });
  });
});

describe('storage on which the trainer converts', () => {
  const nodes = ['a', 'b', 'c'].map((name) => ({ name, hostname: `host-${name}` }));
  const sameHost = nodes.map(({ name }) => ({ name, hostname: 'host' }));

  it.each([
    ['is one of each node', { nodes, shared: false, groups: undefined }],
    ['is shared by all', { nodes: sameHost, shared: true, groups: [['a', 'b', 'c']] }],
    ['has the series of all, and nothing else', { nodes: sameHost, shared: false, groups: [['a', 'b', 'c', 'd']] }],
    ['is shared by spares alone', { nodes, shared: false, groups: [['a'], ['b'], ['c'], ['d', 'e']] }],
    ['is that of one node', { nodes: nodes.slice(0, 1), shared: false, groups: undefined }],
  ])('%s', (_, storage) => expect(whyNotOnline(storage)).toBeUndefined());

  it('is not shared by some of them, nor by nodes of one name that share nothing', () => {
    expect(whyNotOnline({ nodes, shared: false, groups: [['a', 'c'], ['b']] })).toMatch(
      /^only a and c share the storage/,
    );
    expect(whyNotOnline({ nodes: sameHost, shared: false, groups: undefined })).toMatch(
      /^all nodes have the host name host: the trainer takes their storage for shared/,
    );
  });
});
