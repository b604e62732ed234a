/** What a resume needs, one thing missing or broken at a time: what is changed, and what then happens on each node. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CLOSED, cut, FOLDER, MODEL, OPTIMIZER, remove, TRACKER } from './two-nodes.js';

export interface Trap {
  title: string;
  /** The case of test/fixtures/golden/train/resume.json, where it was recorded of the real one. */
  recorded?: string;
  /** Recorded logs, of which the pipeline's parser has to say what it says of ours. */
  log?: string;
  change(node0: string, node1: string): Promise<unknown>;
  args?: string[];
  /** Of the ranks. A torchrun ends with 1 when its rank does; when it ends with 0, it waits for the other torchrun. */
  exits: [number, number];
  says: [RegExp, RegExp];
  /** The checkpoint was loaded before it failed. */
  loads?: boolean;
}

const INDEX = 'data/tiny_text_document.idx';
const DATA = 'data/tiny_text_document.bin';
const GONE =
  /AssertionError: One or both of the .idx and .bin files cannot be found at the path prefix data\/tiny_text/;
const WAITED = /Timed out waiting 12000ms|Connection closed by peer/;
const UNREADABLE = /could not load the checkpoint/;
const GARBAGE = /ERROR: Invalid metadata file save\/latest_checkpointed_iteration.txt. Exiting/;
const absent = (path: string): RegExp => new RegExp(`No such file or directory: '${path}'`);

/** Both nodes wait until the distributed time-out. */
export const waits: Trap[] = [
  {
    title: 'tracker missing on node 1',
    recorded: 'resume-natural-timeout1',
    log: 'no-tracker-node1-timeout-1min',
    change: (_, node1) => remove(join(node1, TRACKER)),
    exits: [1, 1],
    says: [WAITED, WAITED],
  },
  {
    title: 'tracker missing on node 0: it would start from random weights',
    recorded: 'missing-tracker-node0',
    change: (node0) => remove(join(node0, TRACKER)),
    exits: [1, 1],
    says: [/could not find the metadata file save\/latest[^]*will start from random/, WAITED],
  },
];

export const traps: Trap[] = [
  {
    title: 'garbage in the tracker of node 0: its rank exits with 0',
    recorded: 'tracker-garbage-node0',
    log: 'tracker-garbage-node0',
    change: (node0) => writeFile(join(node0, TRACKER), 'what'),
    exits: [0, 1],
    says: [GARBAGE, CLOSED],
  },
  {
    title: 'tracker of zero bytes on node 0: its rank exits with 0',
    recorded: 'tracker-empty-node0',
    change: (node0) => writeFile(join(node0, TRACKER), ''),
    exits: [0, 1],
    says: [GARBAGE, CLOSED],
  },
  {
    title: 'model_optim_rng.pt missing on node 1: its rank exits with 0',
    recorded: 'missing-model-node1',
    log: 'missing-model-node1',
    change: (_, node1) => remove(join(node1, MODEL[1])),
    exits: [1, 0],
    says: [CLOSED, UNREADABLE],
  },
  {
    title: 'model_optim_rng.pt missing on node 0: its rank exits with 0',
    recorded: 'missing-model-node0',
    log: 'missing-model-node0',
    change: (node0) => remove(join(node0, MODEL[0])),
    exits: [0, 1],
    says: [UNREADABLE, CLOSED],
  },
  {
    title: 'model_optim_rng.pt truncated on node 1: its rank exits with 0',
    recorded: 'truncated-model-node1',
    log: 'truncated-model-node1',
    change: (_, node1) => cut(join(node1, MODEL[1])),
    exits: [1, 0],
    says: [CLOSED, UNREADABLE],
  },
  {
    title: 'distrib_optim.pt missing on node 1',
    recorded: 'missing-optim-node1',
    log: 'missing-optim-node1',
    change: (_, node1) => remove(join(node1, OPTIMIZER[1])),
    exits: [1, 1],
    says: [CLOSED, absent(OPTIMIZER[1])],
  },
  {
    title: 'distrib_optim.pt missing on node 0',
    recorded: 'missing-optim-node0',
    change: (node0) => remove(join(node0, OPTIMIZER[0])),
    exits: [1, 1],
    says: [absent(OPTIMIZER[0]), CLOSED],
  },
  {
    title: 'distrib_optim.pt truncated on node 1',
    recorded: 'truncated-optim-node1',
    log: 'truncated-optim-node1',
    change: (_, node1) => cut(join(node1, OPTIMIZER[1])),
    exits: [1, 1],
    says: [CLOSED, /RuntimeError: PytorchStreamReader failed reading zip archive/],
  },
  {
    title: 'the iteration folder missing on node 1',
    recorded: 'tracker-10-but-dir-missing-node1',
    change: (_, node1) => remove(join(node1, FOLDER)),
    exits: [1, 1],
    says: [CLOSED, absent(FOLDER)],
  },
  {
    title: '.idx missing on node 1',
    recorded: 'idx-missing-node1',
    log: 'missing-idx-node1',
    loads: true,
    change: (_, node1) => remove(join(node1, INDEX)),
    exits: [1, 1],
    says: [CLOSED, GONE],
  },
  {
    title: '.bin missing on node 1',
    recorded: 'bin-missing-node1',
    log: 'missing-bin-node1',
    loads: true,
    change: (_, node1) => remove(join(node1, DATA)),
    exits: [1, 1],
    says: [CLOSED, GONE],
  },
  {
    title: '.idx cut to 90% on node 1',
    recorded: 'idx-truncated-node1',
    loads: true,
    change: (_, node1) => cut(join(node1, INDEX), 0.9),
    exits: [1, 1],
    says: [CLOSED, /ValueError: buffer is smaller than requested size/],
  },
  {
    title: '.bin cut to half on node 1',
    loads: true,
    change: (_, node1) => cut(join(node1, DATA)),
    exits: [1, 1],
    says: [CLOSED, /ValueError: (buffer is smaller than requested size|offset must be non-negative)/],
  },
  {
    title: 'another --train-iters: the schedule differs from the checkpoint',
    recorded: 'resume-extended',
    log: 'train-iters-changed',
    change: async () => undefined,
    args: ['--train-iters', '25'],
    exits: [1, 1],
    says: [
      /AssertionError: OptimizerParamScheduler: class input value 10.0 and checkpointvalue 8.0 for warmup iterations do/,
      /AssertionError: OptimizerParamScheduler/,
    ],
  },
];
