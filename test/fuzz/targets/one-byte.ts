import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { createJudge, dataFiles } from '../../support/damaged-files.js';
import type { Target } from '../target.js';

interface Damage {
  file: (typeof dataFiles)[number];
  /** Share of the file before it. */
  at: number;
  /** What the byte is instead; without one, the file is cut off there. */
  to: number | undefined;
}

let dir: string | undefined;
const judges = new Map<string, ReturnType<typeof createJudge>>();

/** A data file that is cut off, or of which one byte is another, is refused or has lost no document. */
export const oneByte: Target<Damage> = {
  name: 'one-byte',
  inputs: fc.record({
    file: fc.constantFrom(...dataFiles),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    to: fc.option(fc.nat(255), { nil: undefined, freq: 4 }),
  }),
  async check({ file, at, to }) {
    dir ??= mkdtempSync(join(tmpdir(), 'fuzz-one-byte-'));
    const judge = judges.get(file.name) ?? createJudge(file, dir);
    judges.set(file.name, judge);
    const place = Math.floor(at * file.bytes.length);
    const wrong = await (to === undefined ? judge.whenCut(place) : judge.whenChanged(place, to));
    if (wrong !== undefined) throw new Error(wrong);
  },
  close() {
    if (dir) rmSync(dir, { recursive: true, force: true });
    dir = undefined;
    judges.clear();
    return Promise.resolve();
  },
};
