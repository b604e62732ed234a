/** Every program of package.json, called wrongly or with nobody who reads on: a line for a person, never a stack. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { root } from '../../workers/config.js';

interface Ended {
  code: number;
  output: string;
}

/** @param line of a shell; `pipefail`, so that a pipe ends as its first program did */
async function shell(line: string, env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const command = ['-c', `set -o pipefail; ${line.replace(/^(\S+\.ts)/, 'node --import tsx $1')}`];
  const options = { cwd: root, env: { ...process.env, ...env } };
  try {
    const { stdout, stderr } = await promisify(execFile)('bash', command, options);
    return { code: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, output: stdout + stderr };
  }
}

const STACK = /^\s+at .*[:/]|node:internal|\[ERR_|Unhandled/m;

it.each<[string, number, RegExp, NodeJS.ProcessEnv?]>([
  ['workers/plan.ts nosuch.json', 1, /there is no run file nosuch\.json/],
  ['workers/plan.ts --bad', 2, /Unknown option '--bad'/],
  ['workers/preprocess.ts --nope', 2, /unrecognized arguments: --nope/],
  ['workers/main.ts nope', 2, /there is no "nope"/],
  ['workers/main.ts node', 1, /PRETRAIN_DATA: an absolute path/, { PRETRAIN_DATA: '' }],
  ['workers/main.ts control', 1, /Invalid address/, { TEMPORAL_ADDRESS: 'http://[::', PRETRAIN_DASHBOARD: 'off' }],
  ['infra/demo/main.ts --bad', 2, /--keep-open.*Unknown option '--bad'/],
  ['infra/demo/main.ts --iterations 3', 1, /--iterations: expected a whole number from 20, got 3/],
  ['test/chaos/main.ts nosuch', 2, /Unexpected argument 'nosuch'/],
  ['test/chaos/main.ts --only nosuch', 1, /there is no case "nosuch"/],
  ['test/bench/main.ts nosuch', 2, /expected one of preprocess, .*, got nosuch/],
  ['test/bench/main.ts transfer --bad', 2, /bench transfer: Unknown option '--bad'/],
  ['test/bench/main.ts preprocess --only nosuch', 1, /--only nosuch: expected of /],
  ['node infra/setup/temporal.mjs x', 1, /TEMPORAL_BIN names \/nope/, { TEMPORAL_BIN: '/nope' }],
])('%s ends with code %i and says what was wrong', async (line, code, says, env) => {
  const ended = await shell(line, env);
  expect(ended.output).toMatch(says);
  expect(ended.output).not.toMatch(STACK);
  expect(ended.code).toBe(code);
});

it.each([
  'workers/plan.ts infra/runs/qwen3-8b.json | true',
  'workers/plan.ts --schema | true',
  'test/chaos/main.ts --list | true',
  'workers/preprocess.ts --nope 2>&1 | true',
])('%s ends quietly where nobody reads', async (line) => {
  const { output } = await shell(line);
  expect(output).toBe('');
});
