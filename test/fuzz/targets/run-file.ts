import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../../workers/config.js';
import { describePlan, planRun } from '../../../workflows/plan-page.js';
import { describeProblems, parseRunSpec } from '../../../workflows/spec.js';
import { mutatedJson } from '../mutate.js';
import type { Target } from '../target.js';

const seeds = ['qwen3-tiny', 'qwen3-8b'].map(
  (name) => JSON.parse(readFileSync(join(root, `infra/runs/${name}.json`), 'utf8')) as object,
);

/** Whatever a run file holds: a list of what is wrong with it, each with path and expectation, or a plan. */
export const runFile: Target = {
  name: 'run-file',
  inputs: mutatedJson(seeds),
  check(input) {
    const parsed = parseRunSpec(input, 'run');
    if ('spec' in parsed) return void describePlan(planRun(parsed.spec), parsed.spec);
    if (parsed.problems.length === 0) throw new Error('refused without a reason');
    if (parsed.problems.some(({ path, expected }) => !path || !expected)) throw new Error('a reason without a place');
    describeProblems(parsed.problems);
  },
};
