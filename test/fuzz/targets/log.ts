import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createTrainingLog } from '../../../activities/training-log.js';
import { root } from '../../../workers/config.js';
import { mutated } from '../mutate.js';
import type { Target } from '../target.js';

const dir = join(root, 'test/fixtures/golden/logs');
const seeds = readdirSync(dir)
  .filter((name) => name.endsWith('.log'))
  .map((name) => readFileSync(join(dir, name)).subarray(0, 20_000));

/** Whatever ranks print: each line is read, and a verdict follows that names no nonsense. */
export const trainingLog: Target<Buffer> = {
  name: 'training-log',
  inputs: mutated(seeds),
  check(bytes) {
    const log = createTrainingLog();
    for (const line of bytes.toString('utf8').split('\n'))
      for (const event of log.line(line))
        if ('iteration' in event && !(event.iteration >= 0)) throw new Error(`iteration ${event.iteration}`);
    const { lastSaved = 0, loss = 0 } = log.verdict();
    if (!Number.isFinite(loss) || !(lastSaved >= 0)) throw new Error(`loss ${loss}, saved ${lastSaved}`);
    if ((log.firstError()?.length ?? 0) > 1000) throw new Error('an error as long as its log');
  },
};
