/** What a reaper may be asked, and its page of text. Pure. */
import { z } from 'zod';
import { DURATION, milliseconds } from './duration.js';
import { gigabytes } from './gigabytes.js';
import type { Reaped, RunLeft } from './leftovers.js';
import { NAME } from './spec-fields.js';
import { problemsIn } from './spec.js';

const POOL = 'the name of a pool, such as "default"';
const GRACE = 'a duration from 1 s to 365 d, such as "7d"';
const YEAR_MS = 365 * 86_400_000;

const schema = z.strictObject({
  pool: z.string(POOL).regex(NAME, POOL).default('default'),
  /** How long what is left stays after its run has closed. */
  grace: z
    .string(GRACE)
    .refine((text) => DURATION.test(text) && milliseconds(text) >= 1000 && milliseconds(text) <= YEAR_MS, GRACE)
    .default('7d'),
  dryRun: z.boolean('true or false').default(false),
});

export type ReapRequest = z.infer<typeof schema>;

export function readReapRequest(input: unknown): { request: ReapRequest } | { wrong: string } {
  const given = input ?? {};
  const problems = problemsIn(schema, given);
  if (problems.length === 0) return { request: schema.parse(given) };
  const lines = problems.map(({ path, expected, value }) => `${path}: expected ${expected}, got ${value}`);
  return { wrong: `reap: ${lines.join('; ')}` };
}

export interface Reaping {
  request: ReapRequest;
  /** Closed runs that the pool still had down as holding nodes, or as waiting for some. */
  released: { run: string; nodes: string[] }[];
  nodes: { node: string; reaped?: Reaped; error?: string }[];
  /** Runs that nodes have something of and the server does not know. */
  unknown: string[];
}

const LINES = 200;

/** A line for each thing, the most important first; bounded, since it is kept in the workflow's history. */
export function describeReaping({ request, released, nodes, unknown }: Reaping): string[] {
  const { pool, grace, dryRun } = request;
  const done = dryRun ? 'would be removed' : 'removed';
  const lines = [
    ...released.map(
      ({ run, nodes: held }) =>
        `pool ${pool}: ${run} is closed; ${held.join(', ') || 'its place in line'} ${dryRun ? 'would be' : held.length > 1 ? 'are' : 'is'} given back`,
    ),
    ...nodes.flatMap(({ node, reaped, error }) =>
      error !== undefined
        ? [`${node}: not looked at: ${error}`]
        : reaped
          ? describeNode(reaped, done).map((line) => `${node}: ${line}`)
          : [],
    ),
    ...(unknown.length > 0
      ? [
          `left alone, because the server knows no run of that name: ${some(unknown)}; whoever knows them removes them by hand`,
        ]
      : []),
  ];
  const what = `what runs left that closed more than ${grace} ago, on ${count(nodes.length, 'node')} of pool ${pool}`;
  const head = `${dryRun ? 'dry run, nothing was touched: ' : ''}${what}${lines.length === 0 ? ': nothing' : ''}`;
  return [head, ...lines.slice(0, LINES), ...(lines.length > LINES ? [`and ${lines.length - LINES} lines more`] : [])];
}

function describeNode({ runs, downloads, failed }: Reaped, done: string): string[] {
  return [
    ...runs.map((left) => `${left.run}: ${describeLeft(left)} ${done}`),
    ...(downloads.files > 0
      ? [`${count(downloads.files, 'unfinished download')} of closed runs, ${gigabytes(downloads.bytes)}, ${done}`]
      : []),
    ...failed.map((why) => `failed: ${why}`),
  ];
}

const describeLeft = ({ processes, launches, probes, tokens, bytes }: RunLeft): string =>
  [
    processes > 0 && `${count(processes, 'process', 'processes')} that outlived the lease`,
    launches > 0 && `${count(launches, 'launch directory', 'launch directories')} (${gigabytes(bytes)})`,
    probes > 0 && count(probes, 'probe'),
    tokens > 0 && count(tokens, 'file token'),
  ]
    .filter(Boolean)
    .join(', ');

const count = (number: number, one: string, many = `${one}s`): string => `${number} ${number === 1 ? one : many}`;

const some = (names: string[]): string =>
  names.slice(0, 20).join(', ') + (names.length > 20 ? ` and ${names.length - 20} more` : '');
