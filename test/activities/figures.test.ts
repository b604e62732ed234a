/** What texts are like, from their ids, and that it does not matter how many parts they were looked at in. */
import { describe, expect, it } from 'vitest';
import { piecesOf } from '../../activities/preprocess/character-pieces.js';
import { addFigures, createTextLook, type Figures } from '../../activities/preprocess/figures.js';
import { createRepeats, KEPT, mergeSamples, repeatsIn } from '../../activities/preprocess/repeats.js';
import { createRandom } from '../support/encoder/random.js';

interface Document {
  file: string;
  row: number;
  ids: Int32Array;
}

const PIECES = { size: 8, pieces: [[1, '5L0='], [2, 'oA==']] as [number, string][] }; // prettier-ignore
const facts = { vocabSize: 64, special: new Set([63]), pieces: PIECES };

function documents(count: number, different: number, seed: number): Document[] {
  const { below } = createRandom(seed);
  const texts = Array.from({ length: different }, () => Int32Array.from({ length: below(60) }, () => below(64)));
  let [file, row] = [0, 0];
  return Array.from({ length: count }, () => {
    if (below(40) === 0) [file, row] = [file + 1, 0];
    row += 1 + below(2);
    return { file: `f${file}`, row, ids: texts[below(different)]! };
  });
}

/** Of consecutive documents, whose rows are counted from the first that is theirs. */
function figuresOf(part: Document[], rowsBefore: (file: string) => number, portions: number): Figures {
  const look = createTextLook(facts);
  for (const { file, row, ids } of part) {
    if (portions === 1) look.whole(ids);
    else {
      for (let from = 0; from < ids.length; from += portions) look.portion(ids.subarray(from, from + portions));
      look.joined();
    }
    look.document({ file, row: row - rowsBefore(file), tokens: ids.length });
  }
  const last = part.at(-1);
  return {
    keys: { text: look.figures() },
    ...(last && { lastFile: { file: last.file, rows: last.row - rowsBefore(last.file) } }),
  };
}

describe('figures of texts', () => {
  it('are those of the whole, however it is cut into parts and texts into portions, and whichever parts are added first', () => {
    const { below } = createRandom(5);
    for (const different of [40, 3 * KEPT]) {
      const all = documents(8000, different, different);
      const whole = figuresOf(all, () => 0, 1);
      for (const cuts of [1, 7, 30]) {
        const ends = [...Array.from({ length: cuts }, () => below(all.length)), all.length].sort((a, b) => a - b);
        let parts = ends.map((end, index) => {
          const start = index === 0 ? 0 : ends[index - 1]!;
          const before = all.slice(0, start);
          const rowsBefore = (file: string) => before.findLast((document) => document.file === file)?.row ?? 0;
          return figuresOf(all.slice(start, end), rowsBefore, 1 + below(3));
        });
        while (parts.length > 1) {
          const at = below(parts.length - 1);
          parts = [...parts.slice(0, at), addFigures(parts[at]!, parts[at + 1]!), ...parts.slice(at + 2)];
        }
        expect(parts[0]).toEqual(whole);
      }
    }
  });

  it('count documents by powers of two, those without a token by themselves, and name the longest, the first of equals', () => {
    const look = createTextLook(facts);
    for (const [index, tokens] of [1, 2, 3, 4, 1023, 1024, 4, 0, 0, ...Array.from({ length: 9 }, () => 5)].entries()) {
      look.whole(new Int32Array(tokens));
      look.document({ file: 'a', row: index + 1, tokens });
    }
    const { lengths, withoutTokens, longest } = look.figures();
    expect(lengths).toEqual([1, 2, 11, 0, 0, 0, 0, 0, 0, 1, 1]);
    expect(withoutTokens).toBe(2);
    expect(longest.map(({ row }) => row)).toEqual([6, 5, 10, 11, 12, 13, 14, 15, 16, 17]);
  });

  it('know tokens of bytes, and the one for what is unknown, of tokenizers of SentencePiece’s kind', () => {
    const model = { unk_id: 0, vocab: [['<unk>', 0], ['<0xE4>', -1], ['<0x41>', -2], ['▁a', -3]] as [string, number][] }; // prettier-ignore
    expect(piecesOf({ model })).toEqual({ size: 4, pieces: [[1, '5A==']], unknown: 0 });
    expect(piecesOf({ model: { vocab: { a: 0, '<unk>': 7 }, unk_token: '<unk>' } })).toEqual({
      ...{ size: 8, pieces: [], unknown: 7 },
    });
  });
});

describe('documents that repeat others', () => {
  const idsOf = (number: number) => Int32Array.of(number, 1, number >> 3, 2);
  const sampleOf = (numbers: Iterable<number>) => {
    const repeats = createRepeats();
    for (const number of numbers) repeats.offer(idsOf(number));
    return repeats.sample();
  };
  const upTo = (count: number, first = 0) => Array.from({ length: count }, (_, index) => first + index);

  it('are counted exactly while few are different', () => {
    expect(repeatsIn(sampleOf([...upTo(1000), ...upTo(300)]), 1300)).toEqual({ documents: 300, exact: true });
  });

  it('are estimated where many are: none, some, and one that is there very often', () => {
    const many = 60_000;
    const share = (numbers: number[]) => repeatsIn(sampleOf(numbers), numbers.length).documents / numbers.length;
    expect(share(upTo(many))).toBeLessThan(0.001);
    expect(share([...upTo(many), ...upTo(many / 50)])).toBeCloseTo(1 / 51, 2);
    const often = Math.abs(share([...upTo(many), ...upTo(many).map(() => many + 1)]) - 0.5);
    expect(often).toBeLessThan(0.05);
  });

  it('are the same estimate of two halves', () => {
    const [first, second] = [upTo(20_000), upTo(20_000, 15_000)];
    expect(mergeSamples(sampleOf(first), sampleOf(second))).toEqual(sampleOf([...second, ...first]));
  });
});
