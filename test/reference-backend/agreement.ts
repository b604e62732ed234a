/**
 * Trains the recorded layouts and measures how far the reference backend is from the real MindSpeed-LLM.
 * As a command it prints a table: `npx tsx test/reference-backend/agreement.ts`.
 */
import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { finished, helper, iterationsIn, makeNode, makeSite, recorded, torchrun } from './support.js';
import type { Iteration } from './support.js';

export interface Agreement {
  exits: (number | string)[];
  logs: string[];
  iterations: Iteration[];
  /** Largest differences from the recorded run. */
  loss: number;
  lossAt: number;
  learningRate: number;
  gradientNorm: number;
  /** Relative, of the l2 norm of any weight at any saved iteration; undefined when none were recorded. */
  weightNorm: number | undefined;
  /** Median and least of what is printed an iteration. */
  milliseconds: [median: number, least: number];
}

/** Initial weights of the recorded runs, converted from the Hugging Face models. */
export async function makeWeights(site: string): Promise<string> {
  await helper(site, 'convert_cases.py', 'mg-f32-tp1pp1', 'mg-f32-tp1pp2', 'mg-bf16-tp1pp2');
  await rename(join(site, 'mg-f32-tp1pp1'), join(site, 'init-tp1pp1'));
  await rename(join(site, 'mg-f32-tp1pp2'), join(site, 'init-tp1pp2'));
  await rename(join(site, 'mg-bf16-tp1pp2'), join(site, 'init-bf16-tp1pp2'));
  return site;
}

export async function measure(site: string, weights: string, name: string): Promise<Agreement> {
  const { arguments: common, layouts } = await recorded();
  const layout = layouts[name];
  if (!layout) throw new Error(`no recorded layout ${name}`);
  const nodes = [];
  for (let i = 0; i < layout.nodes; i++) nodes.push(await makeNode(site, `${name}-n${i}`, weights));
  const running = await torchrun(nodes, layout.ranksPerNode, [...common, ...layout.arguments]);
  const { exits, logs } = await finished(running);
  const iterations = logs.flatMap(iterationsIn);
  const differences = (own: (of: Iteration) => number, column: 1 | 2 | 3): number[] =>
    layout.curve.map((row, i) => Math.abs((iterations[i] ? own(iterations[i]) : NaN) - row[column]));
  const losses = differences(({ loss }) => loss, 2);
  const times = [...logs.join('').matchAll(/per iteration \(ms\): ([\d.]+)/g)].map((match) => Number(match[1]));
  times.sort((a, b) => a - b);
  return {
    exits,
    logs,
    iterations,
    loss: Math.max(...losses),
    lossAt: losses.indexOf(Math.max(...losses)) + 1,
    learningRate: Math.max(...differences(({ learningRate }) => learningRate, 1)),
    gradientNorm: Math.max(...differences(({ gradientNorm }) => gradientNorm, 3)),
    weightNorm: await weightDifference(site, nodes, layout.arguments, layout.weights),
    milliseconds: [times[Math.floor(times.length / 2)] ?? NaN, times[0] ?? NaN],
  };
}

async function weightDifference(
  site: string,
  nodes: string[],
  args: string[],
  weights: Record<string, Record<string, [number, number]>>,
): Promise<number | undefined> {
  if (Object.keys(weights).length === 0) return undefined;
  const save = args[args.indexOf('--save') + 1] ?? '';
  const paths = Object.keys(weights).map((file) => {
    const places = nodes.map((node) => join(node, save, file));
    const place = places.find((path) => existsSync(path));
    if (!place) throw new Error(`no node has ${file}`);
    return relative(site, place);
  });
  type Norms = Record<string, { weights: Record<string, [number, number]> }>;
  const found = await helper<Norms>(site, 'inspect_checkpoints.py', ...paths);
  const differences = Object.values(weights).flatMap((expected, i) =>
    Object.entries(expected).map(([name, [norm]]) => Math.abs(found[paths[i]!]!.weights[name]![0] / norm - 1)),
  );
  return Math.max(...differences);
}

async function main(): Promise<void> {
  const site = await makeSite();
  try {
    const weights = await makeWeights(site.dir);
    const cell = (value: string | number) => String(value).padEnd(20);
    const titles = ['layout', 'loss', 'learning rate', 'gradient norm', 'weight norms', 'ms (median, least)'];
    console.log(titles.map(cell).join(''));
    for (const name of Object.keys((await recorded()).layouts)) {
      const found = await measure(site.dir, weights, name);
      const loss = `${found.loss.toExponential(1)} (at ${found.lossAt})`;
      const figures = [found.learningRate, found.gradientNorm.toFixed(3), found.weightNorm?.toExponential(1) ?? '-'];
      console.log([name, loss, ...figures, found.milliseconds.join(', ')].map(cell).join(''));
    }
  } finally {
    await site.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
