import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { parseNetwork } from '../../../activities/npu/hccn-tool.js';
import { parseBoard, parseEcc, parseHealth, parseTable } from '../../../activities/npu/npu-smi.js';
import { root } from '../../../workers/config.js';
import { mutated } from '../mutate.js';
import type { Target } from '../target.js';

const machines = join(root, 'test/fixtures/npu/machines');
const recorded = (name: string): Buffer[] => {
  const paths = readdirSync(machines).map((machine) => join(machines, machine, name));
  return paths.filter((path) => existsSync(path)).map((path) => readFileSync(path));
};

const parsers: Record<string, (text: string) => unknown> = {
  info: parseTable,
  health: parseHealth,
  ecc: parseEcc,
  board: parseBoard,
  'hccn-link': (link) => parseNetwork(0, { link, health: link, ip: link, tls: link }),
};

/** What the NPU's tools print, damaged: read to facts of the right types, or to none. */
export const npuTools: Target<[string, Buffer]> = {
  name: 'npu-tools',
  inputs: fc.oneof(
    ...Object.keys(parsers)
      .filter((name) => recorded(name).length > 0)
      .map((name) => fc.tuple(fc.constant(name), mutated(recorded(name)))),
  ),
  check([name, bytes]) {
    const facts = parsers[name]!(bytes.toString('utf8'));
    const numbers = JSON.stringify(facts, (_, value: unknown) => {
      if (typeof value === 'number' && !Number.isFinite(value)) throw new Error(`${name}: ${value} for a number`);
      return value;
    });
    if (numbers === undefined) throw new Error('nothing at all');
  },
};
