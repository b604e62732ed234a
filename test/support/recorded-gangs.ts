/** Gangs whose logs and exit codes were recorded: test/fixtures/golden/logs. */
import { join } from 'node:path';
import { readLogFile } from '../../activities/tail.js';
import { root } from '../../workers/config.js';
import type { MemberEnd } from '../../workflows/training-end.js';
import { readFixture } from './arguments.js';

interface Log {
  file: string;
  exit: number;
}
type Case = Partial<Log> & { node0?: Log; node1?: Log; hung_and_killed_by_us?: boolean };
const { logs } = readFixture('golden/logs/logs.json') as { logs: Record<string, Case> };

export const recordedGangs = Object.keys(logs).sort();

/** Exit 137 where a node was killed by us because it hung: it has no exit code of its own. */
export async function membersOf(name: string): Promise<MemberEnd[]> {
  const one = logs[name]!;
  const members = one.node0 ? { node0: one.node0, node1: one.node1! } : { node0: one as Log };
  return Promise.all(
    Object.entries(members).map(async ([node, { file, exit }]) => {
      const log = await readLogFile(join(root, 'test/fixtures/golden/logs', file));
      const firstError = log.firstError();
      return {
        node,
        verdict: log.verdict(),
        ...(exit !== 137 && { exitCode: exit }),
        ...(firstError && { firstError }),
      };
    }),
  );
}
