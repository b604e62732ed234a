/**
 * `npx tsx test/chaos/preprocess-kill.ts [--times 20] [--seed 1] [--json]`: kills the preprocessor and its processes with
 * SIGKILL at this many random instants, and looks each time for a pair that seems finished and is not. The next run must succeed.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeCorpus, readSpeeches } from '../../infra/demo/corpus.js';
import { uniform } from '../../infra/demo/random.js';
import { root } from '../../workers/config.js';

const { values } = parseArgs({
  options: {
    times: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
});
const work = await mkdtemp(join(tmpdir(), 'preprocess-kill-'));
const out = join(work, 'out');
const PAIR = 'p_text_document';

/** Ends by itself, or after `instant` milliseconds with everything that it started. */
async function preprocess(processes: number, instant = Infinity): Promise<boolean> {
  const args = ['--input', join(work, 'in.jsonl'), '--tokenizer-name-or-path', tokenizer, '--append-eod'];
  const command = [...args, '--output-prefix', join(out, 'p'), '--workers', String(processes)];
  const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'workers/preprocess.ts'), ...command], {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const timer = instant < Infinity ? setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), instant) : undefined;
  const code = await new Promise((resolve) => child.once('exit', resolve));
  clearTimeout(timer);
  return code === 0;
}

async function digests(): Promise<string | undefined> {
  const names = await readdir(out);
  if (!names.includes(`${PAIR}.idx`)) return undefined;
  const hash = createHash('sha256');
  for (const ending of ['bin', 'idx'])
    hash.update(names.includes(`${PAIR}.${ending}`) ? await readFile(join(out, `${PAIR}.${ending}`)) : 'missing');
  return hash.digest('hex');
}

const tokenizer = join(await makeCorpus(join(root, '.cache/demo-hub')), 'models/demo/qwen3-tiny');
await mkdir(out);
const lines = (await readSpeeches()).map(({ text }) => `${JSON.stringify({ text })}\n`);
await writeFile(join(work, 'in.jsonl'), lines.join(''));
const random = uniform(Number(values.seed));
// The first run computes the encoder's tables; those that are killed find them.
let duration = 0;
for (let run = 0; run < 2; run++) {
  const started = Date.now();
  if (!(await preprocess(2))) throw new Error('the run that nobody kills failed');
  duration = Date.now() - started;
}
const expected = await digests();

const found = { times: 0, killed: 0, unfinished: 0, complete: 0, wrong: 0, reruns: 0, leftovers: 0 };
const MOST_ENDED = 10;
for (; found.killed < Number(values.times); found.times++) {
  if (found.times - found.killed > MOST_ENDED + found.killed) throw new Error('most runs end before they are killed');
  await rm(out, { recursive: true });
  await mkdir(out);
  const finished = await preprocess(1 + (found.times % 2), Math.round(random() * duration));
  if (!finished) found.killed += 1;
  const digest = await digests();
  if (digest === undefined) found.unfinished += 1;
  else if (digest === expected) found.complete += 1;
  else found.wrong += 1;
  // Every fifth time, and not always, since it takes as long as all the rest.
  if (found.times % 5 !== 4) continue;
  if ((await preprocess(2)) && (await digests()) === expected) found.reruns += 1;
  else found.wrong += 1;
  found.leftovers += (await readdir(out)).filter((name) => !name.startsWith(PAIR)).length;
}
await rm(work, { recursive: true });
process.stdout.write(
  `${found.times} runs, ${found.killed} of them killed within ${duration} ms: ${found.unfinished} left no pair, ${found.complete} a whole one, ${found.wrong} a wrong one; ${found.reruns} reruns over the remains gave the same bytes and left ${found.leftovers} temporary files\n`,
);
if (values.json) process.stdout.write(`${JSON.stringify(found)}\n`);
process.exitCode = found.wrong || found.killed === 0 ? 1 : 0;
