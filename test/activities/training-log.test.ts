/** The log parser against real logs, of runs that went well and of runs that did not. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readLogFile } from '../../activities/tail.js';
import { createTrainingLog, type LogEvent } from '../../activities/training-log.js';

const LOGS = fileURLToPath(new URL('../fixtures/golden/logs', import.meta.url));

const BIN = 'AssertionError: One or both of the .idx and .bin files cannot be found at the path prefix data/';
const CLOSED = /^RuntimeError: \[.*\] (Connection closed by peer|Read error .*Connection reset by peer)/;
const LEAF = 'RuntimeError: a view of a leaf Variable that requires grad is being used in an in-place operation.';
const SCHEDULE =
  'AssertionError: OptimizerParamScheduler: class input value 10.0 and checkpointvalue 8.0 for warmup iterations do not match';
const ZIP = 'PytorchStreamReader failed reading zip archive: failed finding central directory';
const noFile = (path: string) => `[Errno 2] No such file or directory: 'save/iter_0000010/mp_rank_${path}'`;

const _ = undefined;

/** Outcome, last iteration, last save, first error. */
const EXPECTED: Record<
  string,
  [outcome: string, last?: number | undefined, saved?: number | undefined, error?: string | RegExp]
> = {
  'bad-argument': ['unclear', _, _, 'pretrain_gpt.py: error: unrecognized arguments: --no-such-argument 3'],
  'fp32-distrib-optim-resume-fails.node0': ['unclear', _, _, LEAF],
  'fp32-distrib-optim-resume-fails.node1': ['unclear', _, _, LEAF],
  'kill-node1.node0': ['unclear', _, 10, CLOSED],
  'kill-node1.node1': ['unclear', 12, _, 'ConnectionResetError: [Errno 104] Connection reset by peer'],
  'kill-rank3.node0': ['unclear', _, 10, CLOSED],
  'kill-rank3.node1': ['unclear', 12, _, 'local rank 1 was ended by SIGKILL'],
  'missing-bin-node1.node0': ['unclear', _, _, CLOSED],
  'missing-bin-node1.node1': ['unclear', _, _, `${BIN}tiny_text_document`],
  'missing-idx-1process': ['unclear', _, _, `${BIN}absent_text_document`],
  'missing-idx-node1.node0': ['unclear', _, _, CLOSED],
  'missing-idx-node1.node1': ['unclear', _, _, `${BIN}tiny_text_document`],
  'missing-model-node0.node0': [
    'unclear',
    _,
    _,
    `could not load the checkpoint: ${noFile('00_000/model_optim_rng.pt')}`,
  ],
  'missing-model-node0.node1': ['unclear', _, _, CLOSED],
  'missing-model-node1.node0': ['unclear', _, _, CLOSED],
  'missing-model-node1.node1': [
    'unclear',
    _,
    _,
    `could not load the checkpoint: ${noFile('00_001/model_optim_rng.pt')}`,
  ],
  'missing-optim-node1.node0': ['unclear', _, _, CLOSED],
  'missing-optim-node1.node1': ['unclear', _, _, `FileNotFoundError: ${noFile('00_001/distrib_optim.pt')}`],
  nan: ['unclear', 2, _, /^RuntimeError: Rank 0, node vm, device 0, iteration 2: Unexpected result nan/],
  'no-cache-node1-without-no-shared-storage.node0': ['unclear', _, _, CLOSED],
  'no-cache-node1-without-no-shared-storage.node1': ['unclear', _, _, /^FileNotFoundError: .*document_index.npy'$/],
  'no-tracker-both-starts-over.node0': ['finished', _, 20],
  'no-tracker-both-starts-over.node1': ['finished', 20],
  'no-tracker-node1-hang.node0': ['unclear'],
  'no-tracker-node1-hang.node1': ['unclear'],
  'no-tracker-node1-timeout-1min.node0': ['unclear', _, _, /Timed out waiting 60000ms for recv/],
  'no-tracker-node1-timeout-1min.node1': ['unclear', _, _, /Timed out waiting 60000ms for send/],
  'normal-1process': ['finished', 20, 20],
  'normal-2nodes.node0': ['finished', _, 20],
  'normal-2nodes.node1': ['finished', 20],
  'port-mismatch.node0': ['unclear'],
  'port-mismatch.node1': ['unclear'],
  'resume-2nodes.node0': ['finished', _, 20],
  'resume-2nodes.node1': ['finished', 20],
  'sigterm-ranks-exit-handler.node0': ['saved', _, 13],
  'sigterm-ranks-exit-handler.node1': ['unclear', 13],
  'sigterm-torchrun-node1.node0': ['saved', _, 13],
  'sigterm-torchrun-node1.node1': ['unclear', 13, _, /SignalException: Process 13470 got signal: 15$/],
  'tracker-garbage-node0.node0': ['unclear', _, _, /^ERROR: Invalid metadata file/],
  'tracker-garbage-node0.node1': ['unclear', _, _, CLOSED],
  'train-iters-changed.node0': ['unclear', _, _, SCHEDULE],
  'train-iters-changed.node1': ['unclear', _, _, SCHEDULE],
  'truncated-model-node1.node0': ['unclear', _, _, CLOSED],
  'truncated-model-node1.node1': ['unclear', _, _, `could not load the checkpoint: ${ZIP}`],
  'truncated-optim-node1.node0': ['unclear', _, _, CLOSED],
  'truncated-optim-node1.node1': ['unclear', _, _, `RuntimeError: ${ZIP}`],
};

const files = readdirSync(LOGS).filter((name) => name.endsWith('.log'));

describe('of a real log it says how the run ended and why', () => {
  it.each(files)('%s', async (file) => {
    const log = await readLogFile(join(LOGS, file));
    const [outcome, lastIteration, lastSaved, firstError] = EXPECTED[file.replace('.log', '')]!;
    expect(log.verdict()).toMatchObject({
      outcome,
      ...(lastIteration !== undefined && { lastIteration }),
      ...(lastSaved !== undefined && { lastSaved }),
    });
    expect(log.verdict().lastIteration).toBe(lastIteration);
    if (firstError instanceof RegExp) expect(log.firstError()).toMatch(firstError);
    else expect(log.firstError()).toBe(firstError);
  });
});

/** All events of some text. */
function eventsOf(...lines: string[]): LogEvent[] {
  const log = createTrainingLog();
  return lines.flatMap((line) => log.line(line));
}

const errorOf = (...lines: string[]): string | undefined => {
  const log = createTrainingLog();
  for (const line of lines) log.line(line);
  return log.firstError();
};

const iteration = (n: number, fields = 'lm loss: 6.0E+00 |') =>
  ` [2026-11-24 08:59:32] iteration ${String(n).padStart(8)}/      20 | consumed samples: ${n * 4} | ${fields}`;

describe('of a line it takes', () => {
  it('all figures of an iteration', () => {
    const line = readFileSync(join(LOGS, 'normal-2nodes.node1.log'), 'utf8')
      .split('\n')
      .find((text) => text.includes('iteration        7/'))!;
    expect(eventsOf(line)).toEqual([
      {
        ...{ kind: 'iteration', iteration: 7, of: 20, consumed: 28 },
        ...{ loss: 6.040836, gradNorm: 0.996, lr: 1.049068e-3, msPerIteration: 188.7 },
      },
    ]);
  });

  it('no loss where the trainer left it out', () => {
    expect(eventsOf(iteration(3, 'grad norm: nan |'))).toEqual([
      { kind: 'iteration', iteration: 3, of: 20, consumed: 12 },
    ]);
  });

  it('both of two iterations that ran into one line, and one behind the words of another rank', () => {
    expect(eventsOf(iteration(3) + iteration(4)).map((event) => event.kind === 'iteration' && event.iteration)).toEqual(
      [3, 4],
    );
    expect(eventsOf(`finish permission set${iteration(5)}`)).toMatchObject([{ kind: 'iteration', iteration: 5 }]);
  });

  it('loads, saves, ends and failed ranks', () => {
    expect(
      eventsOf(
        '  successfully loaded checkpoint from series/s/checkpoints [ t 1/1, p 1/2 ] at iteration 10',
        'saving checkpoint at iteration      15 to series/s/checkpoints in torch format',
        '  successfully saved checkpoint from iteration      15 to series/s/checkpoints',
        '    save-checkpoint ................................: (33.83, 36.65)',
        '[exiting program at iteration 15] datetime: 2026-11-24 08:59:36 ',
        'ERROR:torch.distributed.elastic.multiprocessing.api:failed (exitcode: -9) local_rank: 1 (pid: 7) of binary: p',
      ),
    ).toEqual([
      { kind: 'loaded', iteration: 10 },
      { kind: 'saving', iteration: 15 },
      { kind: 'saved', iteration: 15 },
      { kind: 'saveTimer' },
      { kind: 'exiting', why: 'iteration' },
      { kind: 'rankFailed', localRank: 1, exitCode: -9 },
    ]);
  });
});

describe('lines of train_fsdp2.py', () => {
  const line = (iteration: number, loss: string) =>
    `INFO [2026-06-22 19:28:40] >>  iteration ${String(iteration).padStart(8)}/      12 | consumed samples: ${4 * iteration} | elapsed time per iteration (ms): 100.00 | lm loss: ${loss} | grad norm: 8.515 |`;

  it('say what was saved, what was loaded, and that training is done', () => {
    const saved = 'INFO [x] >> Distributed checkpoint saved at series/s/fsdp2/checkpoints/global_step_8 successfully!';
    const log = createTrainingLog();
    for (const text of [
      'INFO [x] >> Global step = 4',
      line(5, '1.6E+00'),
      saved,
      line(12, '2.0E+00'),
      'INFO [x] >> Training completed in 3.21s',
    ])
      log.line(text);
    expect(log.verdict()).toEqual({ outcome: 'finished', loadedAt: 4, lastSaved: 8, lastIteration: 12, loss: 2 });
    const scratch = 'INFO [x] >> Loaded model weights only, starting training from step 0';
    expect(createTrainingLog().line(scratch)).toEqual([{ kind: 'startedOver' }]);
  });

  it('have of the first iteration after a load what no iteration had, and of all others what they had', () => {
    const log = createTrainingLog();
    const [first] = log.line(line(1, '8.0E+00'));
    log.line('INFO [x] >> Global step = 4');
    const [fifth, sixth] = [...log.line(line(5, '1.6E+00')), ...log.line(line(6, '7.0E+00'))];
    expect([first, fifth, sixth]).toMatchObject([{ loss: 8, msPerIteration: 100 }, { gradNorm: 8.515 }, { loss: 7 }]);
    expect(Object.keys(fifth!)).not.toContain('loss');
    expect(Object.keys(fifth!)).not.toContain('msPerIteration');
  });
});

describe('the first error', () => {
  const traceback = 'Traceback (most recent call last):';

  it('is the cause, though the echo of another rank was printed before it', () => {
    const echo = 'RuntimeError: [x/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]:1';
    expect(errorOf(traceback, echo, traceback, 'KeyError: 7')).toBe('KeyError: 7');
    expect(errorOf(traceback, echo)).toBe(echo);
  });

  it('is the first of a chain of exceptions', () => {
    const chained = 'During handling of the above exception, another exception occurred:';
    expect(errorOf(traceback, "KeyError: 'model'", '', chained, '', traceback, 'RuntimeError: no model')).toBe(
      "KeyError: 'model'",
    );
  });

  it('is not one that training went on from, nor one that Python passed over', () => {
    const handled = [traceback, 'ValueError: odd', ...[1, 2, 3, 4, 5, 6].map((n) => iteration(n))];
    expect(errorOf(...handled)).toBeUndefined();
    expect(errorOf('Exception ignored in: <function f>', traceback, 'OSError: late')).toBeUndefined();
  });

  it('names the file where no tracker was found and the rank left because of it', () => {
    expect(
      errorOf(
        'WARNING: could not find the metadata file save/latest_checkpointed_iteration.txt',
        '    will not load any checkpoints and will start from random',
        ">> '--exit-on-missing-checkpoint' set ... exiting. <<",
      ),
    ).toBe('could not find the metadata file save/latest_checkpointed_iteration.txt');
  });

  it('takes what has no traceback: Python that cannot start, CANN, a crash', () => {
    for (const line of [
      "/usr/bin/python3: can't open file '/x/pretrain_gpt.py': [Errno 2] No such file or directory",
      'python3: No module named torch',
      'EL0004: Failed to allocate memory.',
      'Fatal Python error: Segmentation fault',
    ])
      expect(errorOf(line)).toBe(line);
  });

  it('is the exit code where nothing else is known', () => {
    expect(errorOf('E1124 x failed (exitcode: 3) local_rank: 2 (pid: 7) of binary: p')).toBe(
      'local rank 2 ended with exit code 3',
    );
  });
});
