/** What the dashboard and the alert rules ask Prometheus for, read with Prometheus's own grammar. */
import { readFileSync } from 'node:fs';
import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';
import { parse } from 'yaml';

export interface Asked {
  /** Panel or alert. */
  where: string;
  expr: string;
}

export interface Rule {
  alert: string;
  expr: string;
  for: string;
  labels: { severity: string };
  annotations: Record<string, string>;
}

interface Panel {
  title: string;
  type: string;
  targets?: { expr: string; legendFormat: string }[];
}

const monitoring = new URL('../../infra/monitoring/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, monitoring), 'utf8');

export const alertRules = (): Rule[] =>
  (parse(read('alerts.yaml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(({ rules }) => rules);

export const dashboard = (): { panels: Panel[]; templating: { list: { name: string; query: unknown }[] } } =>
  JSON.parse(read('grafana-dashboard.json')) as ReturnType<typeof dashboard>;

export const scrapeJobs = (): string[] =>
  (parse(read('prometheus.yml')) as { scrape_configs: { job_name: string }[] }).scrape_configs.map((c) => c.job_name);

/** Every expression; Grafana's own variable is a duration by the time that Prometheus sees it. */
export const everyExpression = (): Asked[] => [
  ...alertRules().map(({ alert, expr }) => ({ where: alert, expr })),
  ...dashboard().panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ where: title, expr: expr.replaceAll('$__rate_interval', '5m') })),
  ),
];

export interface Selector {
  metric: string;
  /** Labels that it is matched by, with the value. */
  matchers: [label: string, value: string][];
  /** Labels that it is grouped by, in whatever it is inside of. */
  groupedBy: string[];
}

export interface Parsed {
  /** Pieces that are no PromQL. */
  errors: string[];
  selectors: Selector[];
}

function* around(node: SyntaxNode): Generator<SyntaxNode> {
  for (let parent = node.parent; parent; parent = parent.parent) if (parent.name === 'AggregateExpr') yield parent;
}

const labelsOf = (aggregate: SyntaxNode): SyntaxNode[] =>
  aggregate.getChild('AggregateModifier')?.getChild('GroupingLabels')?.getChildren('LabelName') ?? [];

export function parsePromql(expr: string): Parsed {
  const found: Parsed = { errors: [], selectors: [] };
  parser.parse(expr).iterate({
    enter({ type, from, to, node }) {
      const text = (of: { from: number; to: number } | null) => (of ? expr.slice(of.from, of.to) : '');
      if (type.isError) found.errors.push(`${from}: ${expr.slice(Math.max(0, from - 10), to + 10)}`);
      if (type.name === 'VectorSelector') {
        const matchers = node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? [];
        found.selectors.push({
          metric: text(node.getChild('Identifier')),
          matchers: matchers.map((one) => [
            text(one.getChild('LabelName')),
            text(one.getChild('StringLiteral')).slice(1, -1),
          ]),
          groupedBy: [...around(node)].flatMap((one) => labelsOf(one).map(text)),
        });
      }
    },
  });
  return found;
}
