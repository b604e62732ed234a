/**
 * The run file: the one JSON document a person writes. Parsed as the workflow's first act, so that every bad
 * field is named in one answer before any node is touched.
 */
import { z } from 'zod';
import type { ModelSizes } from './presets.js';
import { fieldNames, rightFields } from './right-fields.js';
import { usualGrace } from './save-interval.js';
import { NAME, runFile, type RunFile } from './spec-fields.js';
import { complaintsAbout, layoutOf, microBatchOf, sizesOf } from './spec-rules.js';
import type { Parallel } from './topology.js';

/** A valid run file with every default filled in, and the model's sizes and layout resolved. */
export type RunSpec = Omit<RunFile, 'series' | 'parallel' | 'train' | 'recovery'> & {
  series: string;
  sizes: ModelSizes;
  parallel: Parallel;
  train: RunFile['train'] & { microBatch: number };
  recovery: RunFile['recovery'] & { stopGrace: string };
};

/** One thing wrong with a run file: where, what was there, what was expected. */
export interface Problem {
  path: string;
  expected: string;
  value?: string;
}

/**
 * Reads a run file. `id` is what `series` defaults to: the schedule's id, else the workflow's.
 * Never throws: a file with problems comes back as the list of all of them. `byHand`: its commands are printed for a
 * person, so that it may also say what no run can do.
 */
export function parseRunSpec(
  input: unknown,
  id: string,
  { byHand = false } = {},
): { spec: RunSpec } | { problems: Problem[] } {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    return {
      problems: [
        { path: '(input)', expected: 'one JSON object, the run file (--input-file run.json)', value: show(input) },
      ],
    };
  const result = runFile.safeParse(input);
  const found = [
    ...(result.error?.issues ?? []).flatMap((issue) => problemsOf(issue, input, runFile)),
    ...complaintsAbout(rightFields(runFile, input), extraArgsIn(input), byHand).map(({ path, expected }) => ({
      ...{ path, expected },
      value: show(valueAt(input, path.split('.'))),
    })),
  ];
  // One answer a field, the first: what else is wrong with it follows from that more often than not.
  const problems = found.filter(({ path }, index) => found.findIndex((other) => other.path === path) === index);
  if (!result.success || problems.length) return { problems };
  const series = result.data.series ?? id;
  if (!NAME.test(series))
    return {
      problems: [
        {
          path: 'series',
          expected: 'a name made of letters, digits, ".", "_" and "-", since this workflow id is none',
          value: show(series),
        },
      ],
    };
  const file = result.data;
  const { recovery } = file;
  const known = { sizes: sizesOf(file.model)!, parallel: layoutOf(file) };
  return {
    spec: {
      ...{ ...file, series, ...known },
      train: { ...file.train, microBatch: microBatchOf(file) },
      recovery: { ...recovery, stopGrace: recovery.stopGrace ?? usualGrace({ ...known, cluster: file.cluster }) },
    },
  };
}

function extraArgsIn(input: object): object {
  const flags = valueAt(input, ['train', 'extraArgs']);
  return typeof flags === 'object' && flags !== null && !Array.isArray(flags) ? flags : {};
}

/**
 * The name of a run, from its workflow's id, since it becomes part of paths; a schedule's holds a time with colons.
 * Nothing where the id cannot be made into one.
 */
export function runName(workflowId: string): string | undefined {
  const name = workflowId.replace(/[^A-Za-z0-9._-]/g, '_');
  return /^\.*$/.test(name) || name.length > MAX_RUN_NAME ? undefined : name;
}
export const MAX_RUN_NAME = 128;

/** The one answer to a bad run file: a line for each problem. */
export const describeProblems = (problems: Problem[]): string =>
  [`The run file has ${problems.length === 1 ? '1 problem' : `${problems.length} problems`}:`]
    .concat(
      problems.map(
        ({ path, expected, value }) => `  ${path}: expected ${expected}${value === undefined ? '' : `, got ${value}`}`,
      ),
    )
    .join('\n');

/** All that a schema has against an input. */
export const problemsIn = (schema: z.ZodType, input: unknown): Problem[] =>
  (schema.safeParse(input).error?.issues ?? [])
    .flatMap((issue) => problemsOf(issue, input, schema))
    .map((problem) => ({ ...problem, path: problem.path || '(input)' }));

function problemsOf(issue: z.core.$ZodIssue, input: unknown, schema: z.ZodType): Problem[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      path: [...path, key || '""'].join('.'),
      expected: `no field of this name, but one of ${fieldNames(schema, path).join(', ')}`,
      value: show(valueAt(input, [...path, key])),
    }));
  const value = valueAt(input, path);
  return [
    {
      path: path.join('.'),
      expected: expectation(issue),
      ...(value === undefined ? { value: 'nothing' } : { value: show(value) }),
    },
  ];
}

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type')
    return issue.message.startsWith('Invalid input') ? `${article(issue.expected)}` : issue.message;
  return issue.message;
}

const article = (type: string) =>
  type === 'int' ? 'a whole number' : /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;

const valueAt = (input: unknown, path: string[]): unknown =>
  path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined),
    input,
  );

function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

/** JSON Schema of the run file, for editors, from the same source as the validation. */
export const runFileSchema = (): unknown => z.toJSONSchema(runFile, { io: 'input', unrepresentable: 'any' });
