/**
 * `npm run preprocess -- …`: the native preprocessor alone, with the flags of MindSpeed-LLM's `preprocess_data.py` and
 * its bytes. `--json` prints what was measured as one object on the last line.
 */
import { join } from 'node:path';
import { UsageError } from '../activities/preprocess/command-flags.js';
import { runCommand } from '../activities/preprocess/run-command.js';
import { runElsewhere } from '../activities/preprocess/run-elsewhere.js';
import { cacheDir } from './config.js';
import { program } from './program.js';

const say = (line: string) => void process.stderr.write(`${line}\n`);

async function main(args: string[]): Promise<void> {
  const started = process.hrtime.bigint();
  let childCpuSeconds = 0;
  const onCpu = (seconds: number) => void (childCpuSeconds += seconds);
  const words = args.filter((word) => word !== '--json');
  const done = await runCommand(words, {
    say,
    elsewhere: (job, options) => runElsewhere(job, { ...options, onCpu }),
    tablesIn: join(cacheDir(), 'encoder'),
  });
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  for (const { path, bytes, sha256 } of done.outputs) process.stdout.write(`${sha256}  ${path} (${bytes} bytes)\n`);
  process.stdout.write(`${done.documents} documents, ${done.tokens} tokens, ${seconds.toFixed(1)} s\n`);
  if (args.length === words.length) return;
  process.stdout.write(`${JSON.stringify({ ...done, seconds, cpuSeconds: cpuSeconds() + childCpuSeconds })}\n`);
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

program(() => main(process.argv.slice(2)), {
  prefix: 'preprocess: error: ',
  isMisuse: (error) => error instanceof UsageError,
});
