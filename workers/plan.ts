/** `npm run plan -- run.json`: validates a run file and prints what would run where. Touches nothing. */
import { readFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describeFsdp2, planFsdp2 } from '../workflows/fsdp2-plan.js';
import { describePlan, planRun } from '../workflows/plan-page.js';
import { runFileReference } from '../workflows/run-file-reference.js';
import { describeProblems, parseRunSpec, runFileSchema, type Problem, type RunSpec } from '../workflows/spec.js';
import { invokedFrom } from './config.js';
import { program } from './program.js';

const USAGE = 'usage: npm run plan -- run.json [--json] | --schema | --reference';

async function main(): Promise<string> {
  const { values, positionals } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      schema: { type: 'boolean', default: false },
      reference: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowPositionals: true,
  });
  if (values.help) return USAGE;
  if (values.schema) return JSON.stringify(runFileSchema(), null, 2);
  if (values.reference) return runFileReference();
  const [path, ...rest] = positionals;
  if (path === undefined || rest.length) throw new Error(USAGE);
  const file = await readRunFile(path);
  const id = basename(path, '.json');
  const parsed = parseRunSpec(file, id, { byHand: true });
  if ('problems' in parsed) throw new Error(describeProblems(parsed.problems));
  const run = parseRunSpec(file, id);
  const { plan, page } = planned(parsed.spec, 'problems' in run ? run.problems : []);
  return values.json ? `${page}\n${JSON.stringify(plan)}` : page;
}

/** @param refused what a run has against the file, though its commands can be printed */
function planned(spec: RunSpec, refused: Problem[]): { plan: object; page: string } {
  if (spec.train.backend === 'fsdp2') {
    const plan = planFsdp2(spec);
    return { plan, page: describeFsdp2(plan, spec, refused) };
  }
  const plan = planRun(spec);
  return { plan, page: describePlan(plan, spec) };
}

async function readRunFile(path: string): Promise<unknown> {
  const text = await readFile(resolve(invokedFrom(), path), 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      error.code === 'ENOENT' ? `there is no run file ${path}` : `${path} cannot be read: ${error.message}`,
    );
  });
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    const { message } = error as SyntaxError;
    throw new Error(`${path}${placeOf(message, text)} is not JSON: ${message}`, { cause: error });
  }
}

/** Line and column, as editors and terminals jump to them, where the parser says a position. */
function placeOf(message: string, text: string): string {
  const position = /at position (\d+)/.exec(message)?.[1];
  if (position === undefined) return '';
  const lines = text.slice(0, Number(position)).split('\n');
  return `:${lines.length}:${lines.at(-1)!.length + 1}`;
}

program(async () => void process.stdout.write(`${await main()}\n`));
