/**
 * The guide, followed by hand with all values known: the shell script that two people at two machines would type,
 * for the same run file. The same entry points, arguments and environment as the pipeline's; no checks, no copies of
 * checkpoints, nobody who watches.
 */
import { launchEnvironment } from '../../../workflows/launch-environment.js';
import { toMegatron } from '../../../workflows/convert-command.js';
import { torchrunArgs, trainingScript } from '../../../workflows/plan.js';
import { shellLine } from '../../../workflows/shell-line.js';
import type { RunSpec } from '../../../workflows/spec.js';
import { allShards } from '../../../workflows/topology.js';

export interface ByHand {
  /** A directory that is one machine's disk, by node rank. */
  disks: string[];
  python: string;
  mindspeed: string;
  /** Addresses of the files to download, by where they go below the first disk. */
  files: Record<string, string>;
  /** Directories below a disk, with the downloads: text, tokenizer and weights. */
  data: string;
  model: string;
  env: Record<string, string>;
  /** On PYTHONPATH of what reads the text. */
  parquet: string;
  port: number;
}

const CONVERTED = 'converted';
const PREFIX = 'prefix';

export function scriptByHand(spec: RunSpec, hand: ByHand): string {
  const [first, ...others] = hand.disks;
  const address = {
    name: '',
    address: '127.0.0.1',
    port: 0,
    devices: spec.cluster.devicesPerNode,
    profile: 'cpu',
  } as const;
  const nodes = hand.disks.map(() => address);
  const script = trainingScript(spec, {
    ...{ dataPrefix: `${PREFIX}_${spec.dataset.keys[0]!}_document`, tokenizer: hand.model },
    ...{ start: { from: 'pretrained', dir: CONVERTED }, target: spec.train.iterations, shared: false },
  });
  const converter = toMegatron(spec, hand.model);
  const at = (disk: string) => (path: string) => `${disk}/${path}`;
  const run = (name: string, ...args: string[]) => shellLine([hand.python, `${hand.mindspeed}/${name}`, ...args]);
  const env = shellLine(
    Object.entries({ ...hand.env, ...launchEnvironment(spec) }).map(([name, value]) => `${name}=${value}`),
  );
  const train = (disk: string, rank: number) =>
    `(cd ${disk} && env ${env} ${shellLine([
      ...[
        hand.python,
        '-m',
        'torch.distributed.run',
        ...torchrunArgs(rank, nodes, spec.cluster.devicesPerNode, hand.port),
      ],
      ...[`${hand.mindspeed}/${script[0]!}`, ...script.slice(1)],
    ])} > train.log 2>&1) &`;
  const [tokenizer, input] = [hand.model, hand.data].map(at(first!)) as [string, string];
  return [
    'set -euo pipefail',
    'now() { date +%s.%N; }; phase() { echo "$1 $(now)"; }',
    'phase begin',
    ...Object.entries(hand.files).map(
      ([path, url]) => `curl -fsSL --create-dirs -o ${shellLine([at(first!)(path), url])}`,
    ),
    'phase fetch',
    `PYTHONPATH=${hand.parquet} ` +
      run(
        'preprocess_data.py',
        ...['--input', input, '--output-prefix', at(first!)(PREFIX), '--tokenizer-type', 'PretrainedFromHF'],
        ...[
          '--tokenizer-name-or-path',
          tokenizer,
          '--handler-name',
          spec.dataset.handler,
          '--json-keys',
          ...spec.dataset.keys,
        ],
        ...[...(spec.dataset.appendEod ? ['--append-eod'] : []), '--workers', '2'],
      ) +
      ' > /dev/null',
    'phase preprocess',
    // It wants to be started in its own directory.
    `cd ${hand.mindspeed} && ` +
      run(
        converter.script,
        ...converter.args,
        ...Object.entries({ ...converter.paths, '--save-dir': CONVERTED }).flatMap(([flag, path]) => [
          flag,
          at(first!)(path),
        ]),
      ) +
      ' > /dev/null',
    'phase convert',
    ...others.map((disk) => `cp -r ${first!}/. ${disk}`),
    'phase sync',
    ...hand.disks.map(train),
    'wait -n && wait -n',
    'phase train',
    `test $(find ${hand.disks.map((disk) => `${disk}/series`).join(' ')} -name model_optim_rng.pt | wc -l) -ge ${allShards(spec.parallel, nodes.length * spec.cluster.devicesPerNode).length}`,
  ].join('\n');
}
