/** Whether the nodes of a gang run the same software, and a table of where they do not. Pure. */

export interface Stack {
  name: string;
  versions: Record<string, string>;
}

/** A gang whose members differ in these computes or communicates differently; in others it may well work. */
const MUST_AGREE = ['torch', 'torch_npu', 'transformers', 'cann', 'device', 'device TLS'];

export interface StackComparison {
  /** Components that differ and must not. */
  fatal: string[];
  /** One line a differing component, one column a node; empty when there is none. */
  table: string;
}

export function compareStacks(stacks: Stack[]): StackComparison {
  const components = [...new Set(stacks.flatMap(({ versions }) => Object.keys(versions)))].sort();
  const differing = components.filter((name) => new Set(stacks.map(({ versions }) => versions[name])).size > 1);
  if (!differing.length) return { fatal: [], table: '' };
  const rows = [
    ['', ...stacks.map(({ name }) => name)],
    ...differing.map((component) => [component, ...stacks.map(({ versions }) => versions[component] ?? 'none')]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const table = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  // On CPUs a difference in the last digit of torch is what it always was: a warning.
  const npu = stacks.some(({ versions }) => versions['torch_npu'] !== undefined);
  return { fatal: npu ? differing.filter((name) => MUST_AGREE.includes(name)) : [], table: table.join('\n') };
}
