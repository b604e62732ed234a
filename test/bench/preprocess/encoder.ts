/**
 * MB of text a CPU-second, by the fast path and by npm `tokenizers`, on the same text in the same process, in turns:
 *
 *   npm run bench -- preprocess-encoder [--tokenizer <directory with tokenizer.json>] [--rounds 3]
 *
 * `cold` has an empty cache, as at the start of a shard; `warm` goes over the same text again. Prints a table, and last
 * one JSON object. The ids of both are compared.
 */
import { parseArgs } from 'node:util';
import { createIds } from '../../../activities/preprocess/encoder/ids.js';
import { loadBoth, readTokenizer } from '../../support/encoder/compare.js';
import { code, locales, speeches, translations } from '../../support/encoder/corpus.js';
import { QWEN3 } from '../../support/encoder/tokenizers.js';

const { values } = parseArgs({
  options: { tokenizer: { type: 'string', default: QWEN3 }, rounds: { type: 'string', default: '3' } },
});
const json = await readTokenizer(values.tokenizer);
const cjk = (documents: string[]) => documents.filter((text) => /[\u3040-\u30ff\u4e00-\u9fff]{4}/.test(text));
const corpora = {
  speeches: await speeches(),
  translations: await translations(),
  cjk: cjk(await translations()),
  code: await code(),
  locales: await locales(),
};

function cpuSeconds(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1e6;
}

const median = (numbers: number[]): number => numbers.sort((a, b) => a - b)[numbers.length >> 1]!;
const results: Record<string, Record<string, number>> = {};

for (const [name, texts] of Object.entries(corpora)) {
  const documents = texts.map((text) => Buffer.from(text));
  const megabytes = documents.reduce((sum, { length }) => sum + length, 0) / 1e6;
  const seconds = { cold: [] as number[], warm: [] as number[], npm: [] as number[] };
  for (let round = 0; round < Number(values.rounds); round++) {
    const { fast, slow } = await loadBoth(json);
    const ids = createIds();
    const once = () => {
      ids.clear();
      const start = process.cpuUsage();
      for (const document of documents) fast.encodeBytes(document, ids.append);
      return cpuSeconds(start);
    };
    seconds.cold.push(once());
    seconds.warm.push(once());
    const start = process.cpuUsage();
    const expected = await slow.encode(texts);
    seconds.npm.push(cpuSeconds(start));
    const all = expected.flat();
    if (all.length !== ids.length || !ids.view().every((id, at) => id === all[at]))
      throw new Error(`${name}: the ids differ`);
  }
  const rate = (of: number[]) => Number((megabytes / median(of)).toFixed(2));
  const [cold, warm, npm] = [rate(seconds.cold), rate(seconds.warm), rate(seconds.npm)];
  results[name] = {
    megabytes: Number(megabytes.toFixed(2)),
    cold,
    warm,
    npm,
    coldRatio: Number((cold / npm).toFixed(1)),
  };
}
console.table(results);
console.log(JSON.stringify(results));
