/** Dashboard and alert rules against what workers export. Names of the SDK's are checked on a real scrape, in e2e/metrics.test.ts. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { NODE_COUNTERS, NODE_GAUGES } from '../../workers/node-metrics.js';
import { POOL_GAUGES } from '../../workers/pool-metrics.js';
import { RUN_GAUGES } from '../../workers/run-metrics.js';
import { SERVER_GAUGES } from '../../workers/server-metrics.js';
import { alertRules, dashboard, everyExpression, parsePromql, scrapeJobs } from '../support/promql.js';

const RUN = ['run', 'series'];
const labelsOf = new Map<string, string[]>([
  ...Object.keys(RUN_GAUGES).map((name): [string, string[]] => [name, RUN]),
  ['pretrain_run_failures', [...RUN, 'cause']],
  ...Object.keys(POOL_GAUGES).map((name): [string, string[]] => [name, ['pool']]),
  ['pretrain_pool_node_state', ['pool', 'node', 'state']],
  ...Object.keys(NODE_GAUGES).map((name): [string, string[]] => [name, ['node']]),
  ...Object.keys(NODE_COUNTERS).map((name): [string, string[]] => [`${name}_total`, ['node']]),
  ...Object.keys(SERVER_GAUGES).map((name): [string, string[]] => [name, ['node']]),
  // Prometheus's own, of each place that it scrapes.
  ['up', ['job', 'instance']],
]);

it.each(everyExpression())('PromQL of "$where" parses, and asks for nothing that no worker exports', ({ expr }) => {
  const { errors, selectors } = parsePromql(expr);
  expect(errors).toEqual([]);
  expect(selectors.length).toBeGreaterThan(0);
  const own = selectors.filter(({ metric }) => !metric.startsWith('temporal_'));
  expect(own.map(({ metric }) => metric).filter((name) => !labelsOf.has(name))).toEqual([]);
  for (const { metric, matchers, groupedBy } of own)
    expect(labelsOf.get(metric)).toEqual(
      expect.arrayContaining([...new Set([...matchers.map(([label]) => label), ...groupedBy])]),
    );
});

it('the parser finds what is wrong, so that its silence means something', () => {
  expect(parsePromql('sum by (run) (pretrain_run_active').errors).not.toEqual([]);
  expect(parsePromql('sum by (run) (max by (run, cause) (x{job=~"a|b", y!="z"} offset 1h))')).toEqual({
    errors: [],
    selectors: [
      {
        metric: 'x',
        matchers: [
          ['job', 'a|b'],
          ['y', 'z'],
        ],
        groupedBy: ['run', 'cause', 'run'],
      },
    ],
  });
});

it('jobs that are asked for are those of the scrape configuration', () => {
  const values = everyExpression().flatMap(({ expr }) =>
    parsePromql(expr).selectors.flatMap(({ matchers }) => matchers.filter(([label]) => label === 'job')),
  );
  const asked = new Set(values.flatMap(([, value]) => value.split('|')));
  expect([...asked].sort()).toEqual(scrapeJobs().sort());
});

it('legends and the run menu name labels that the expression has', () => {
  for (const { title, targets = [] } of dashboard().panels)
    for (const { expr, legendFormat } of targets) {
      const named = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!);
      const { selectors } = parsePromql(expr.replaceAll('$__rate_interval', '5m'));
      const kept = selectors.flatMap(({ metric, groupedBy }) =>
        groupedBy.length ? groupedBy : (labelsOf.get(metric) ?? []),
      );
      expect({ title, kept }).toEqual({ title, kept: expect.arrayContaining(named) as string[] });
    }
  const menu = dashboard().templating.list.find(({ name }) => name === 'run');
  expect(menu?.query).toMatchObject({ query: 'label_values(pretrain_run_active, run)' });
});

it('each figure of ours is looked at somewhere', () => {
  const used = new Set(everyExpression().flatMap(({ expr }) => parsePromql(expr).selectors.map((s) => s.metric)));
  expect([...labelsOf.keys()].filter((name) => !used.has(name))).toEqual([]);
});

describe('alerts', () => {
  const guide = readFileSync(new URL('../../infra/README.md', import.meta.url), 'utf8');

  it('each waits a while, says how bad it is, and is in the guide with what to do; the guide has no other', () => {
    for (const { for: patience, labels, annotations } of alertRules()) {
      expect(patience).toMatch(/^\d+[mh]$/);
      expect(labels.severity).toMatch(/^(warning|critical)$/);
      expect(Object.keys(annotations)).toEqual(['summary', 'description', 'runbook']);
      expect(annotations['runbook']).toBe('infra/README.md#alerts');
    }
    expect(guide).toMatch(/^### Alerts$/m);
    const told = [...guide.matchAll(/^\| `(Pretrain\w+)` \|/gm)].map(([, name]) => name);
    expect(told).toEqual(alertRules().map(({ alert }) => alert));
  });

  it('of a node that is away and cordoned nothing is told: a person knows of it', () => {
    const { expr } = alertRules().find(({ alert }) => alert === 'PretrainNodeAway')!;
    expect(expr).toMatch(/state="away"\}\) == 1 unless .*state="cordoned"\}\) == 1$/s);
  });

  const promtool = spawnSync('promtool', ['--version']).status === 0;
  it.skipIf(!promtool)('fire and keep silent on recorded courses of events (needs promtool)', () => {
    const file = fileURLToPath(new URL('monitoring/alerts.promtool.yaml', import.meta.url));
    expect(execFileSync('promtool', ['test', 'rules', file], { encoding: 'utf8' })).toContain('SUCCESS');
  });
});
