/** Every field of a run file on a page for people: from the schema, and in the words that a wrong value is answered with. Pure. */
import { z } from 'zod';
import { runFile } from './spec-fields.js';
import { problemsIn, runFileSchema } from './spec.js';

const schema = z.object({
  type: z.string().optional(),
  const: z.unknown().optional(),
  default: z.unknown().optional(),
  description: z.string().optional(),
  maximum: z.number().optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  required: z.array(z.string()).default([]),
});
type Field = z.infer<typeof schema> & { path: string[]; isRequired: boolean };

/** Where a bound is there only to keep numbers numbers. */
const UNBOUNDED = 1_000_000_000;

export const runFileReference = (): string =>
  [
    '# Fields of a run file',
    '',
    'Made by `npm run -s plan -- --reference` from the schema that run files are held against. What groups of fields are for, and how they work together, is in the [README](../../README.md#the-run-file).',
    '',
    '| field | expected | default | what |',
    '| --- | --- | --- | --- |',
    ...fieldsIn(runFileSchema(), []).map(row),
  ].join('\n');

function fieldsIn(node: unknown, path: string[]): Field[] {
  const { properties = {}, required } = schema.parse(node);
  return Object.entries(properties).flatMap(([name, child]) => {
    const field = { ...schema.parse(child), path: [...path, name], isRequired: required.includes(name) };
    return field.properties ? fieldsIn(child, field.path) : [field];
  });
}

function row(field: Field): string {
  const { path, isRequired, description = '' } = field;
  const value = isRequired ? 'required' : field.default === undefined ? '' : `\`${JSON.stringify(field.default)}\``;
  return `| \`${path.join('.')}\` | ${cell(expected(field))} | ${value} | ${cell(description)} |`;
}

function expected(field: Field): string {
  if (field.const !== undefined) return JSON.stringify(field.const);
  if (field.type === 'boolean') return 'true or false';
  // A text or a list that is right nowhere says more of what would be than none at all.
  const wrong = field.type === 'string' ? '?' : field.type === 'array' ? [] : null;
  const input = field.path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), wrong);
  const problem = problemsIn(runFile, input).find(({ path }) => path === field.path.join('.'));
  const most = field.maximum !== undefined && field.maximum < UNBOUNDED ? ` to ${field.maximum}` : '';
  return `${problem?.expected ?? 'a list'}${most}`;
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('*', '\\*').replaceAll('<', '\\<');
