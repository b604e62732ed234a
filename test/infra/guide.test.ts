/** The page beside MindSpeed-LLM's guide, in both languages: what it names is there, and neither says more than the other. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { runFile } from '../../workflows/spec-fields.js';
import { parseRunSpec } from '../../workflows/spec.js';
import { root } from '../../workers/config.js';

const pages = ['infra/guide.md', 'infra/guide.zh.md'];
const read = (page: string): string => readFileSync(join(root, page), 'utf8');
const blocks = (page: string) =>
  [...read(page).matchAll(/^```(\w+)\n(.*?)^```/gms)].map(([, kind, text]) => [kind, text]);
const quoted = (text: string) => [...text.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!);

it('both have the same blocks, sections, and rows, with the same names in each row', () => {
  const [one, other] = pages.map((page) => {
    const lines = read(page).split('\n');
    const rows = lines.filter((line) => line.startsWith('| ') && !line.startsWith('| ---'));
    return {
      blocks: blocks(page),
      sections: lines.filter((line) => line.startsWith('#')).map((line) => line.replace(/^(#+).*/, '$1')),
      rows: rows.map((line) => quoted(line).sort()),
    };
  });
  expect(other).toEqual(one);
  expect(one!.rows.length).toBeGreaterThan(30);
});

it('its run file is taken as it is', () => {
  const [, text] = blocks(pages[0]!)[0]!;
  expect(parseRunSpec(JSON.parse(text!), 'w')).toHaveProperty('spec');
});

it.each(pages)('%s names fields of the run file, commands and pages that there are', (page) => {
  const text = read(page);
  const sections = Object.keys(runFile.shape);
  const fields = quoted(text).flatMap((code) => /^([a-z]+)\.([a-zA-Z]+)(?:: .*)?$/.exec(code)?.slice(1, 3) ?? []);
  const pairs = fields.flatMap((section, index) => (index % 2 ? [] : [[section, fields[index + 1]!] as const]));
  const known = pairs.filter(([section]) => sections.includes(section));
  expect(known.length).toBeGreaterThan(15);
  for (const [section, field] of known) expect(fieldsOf(section)).toContain(field);

  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const [, script] of text.matchAll(/npm run (\w+)/g)) expect(scripts).toHaveProperty(script!);
  for (const [, link] of text.matchAll(/\]\(([^)#]+)/g))
    expect(existsSync(join(root, dirname(page), link!))).toBe(true);
});

/** Of a section of the run file, whatever wraps it. */
function fieldsOf(section: string): string[] {
  let schema: unknown = runFile.shape[section as keyof typeof runFile.shape];
  while (typeof schema === 'object' && schema !== null && !('shape' in schema))
    schema = (schema as { def: { innerType: unknown } }).def.innerType;
  return Object.keys((schema as { shape: object }).shape);
}
