import { expect, it } from 'vitest';
import { chooseDataFiles, isSplittable } from '../../workflows/data-files.js';

it('takes the data of a repository and leaves what is no data', () => {
  const files = ['.gitattributes', 'README.md', 'data/a.parquet', 'data/b.parquet', 'a.parquet.part'];
  expect(chooseDataFiles(files, false)).toEqual({
    files: ['data/a.parquet', 'data/b.parquet'],
    left: ['.gitattributes', 'README.md', 'a.parquet.part'],
  });
  expect(chooseDataFiles(['b.jsonl.gz', 'a.jsonl', 'c.txt.gzip'], false)).toMatchObject({
    files: ['b.jsonl.gz', 'a.jsonl'],
  });
});

it('refuses several formats at once, unless it is to read as MindSpeed-LLM does: the most frequent only', () => {
  const mixed = ['a.jsonl', 'b.csv', 'c.csv', 'd.json'];
  expect(chooseDataFiles(mixed, false)).toMatchObject({
    problem: expect.stringMatching(/1 \.jsonl, 1 \.json, 2 \.csv/) as string,
  });
  expect(chooseDataFiles(mixed, true)).toEqual({ files: ['b.csv', 'c.csv'], left: ['a.jsonl', 'd.json'] });
  expect(chooseDataFiles(['a.txt', 'b.jsonl'], true)).toMatchObject({ files: ['b.jsonl'] });
  expect(chooseDataFiles(['a.jsonl', 'b.jsonl.gz', 'c.jsonl.gz'], true)).toMatchObject({ files: ['a.jsonl'] });
});

it('says what it looked for where there is nothing', () => {
  for (const compat of [true, false])
    expect(chooseDataFiles(['README.md', 'a.JSONL', 'b.parquet.gz', 'noext'], compat)).toMatchObject({
      problem: expect.stringMatching(/no file ends in \.parquet \.arrow/) as string,
    });
});

it('reads only what is not compressed as a whole from the middle', () => {
  expect(['a.parquet', 'a.jsonl', 'a.jsonl.gz', 'a.txt.zst', 'README.md'].map(isSplittable)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});
