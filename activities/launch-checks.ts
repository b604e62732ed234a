/**
 * What a launch would load and overwrite on this node, looked at before anything is started: the real program starts
 * from random weights where it finds no tracker, saves over what is there, and exits 0.
 */
import type { LaunchTrainingInput } from '../workflows/contract.js';
import { iterationDir, iterationsIn, readTracker } from './checkpoint-files.js';

type Launch = Pick<LaunchTrainingInput, 'script' | 'loads'>;

/** Why this launch must not be; nothing where it may. */
export async function unsafeStart(dataDir: string, { script, loads }: Launch): Promise<string | undefined> {
  const [load, save] = [valueOf(script, '--load'), valueOf(script, '--save')];
  if (load !== undefined) {
    const tracked = await readTracker(dataDir, load);
    if (tracked === undefined) return `--load ${load} has no tracker that names an iteration`;
    if (load === save && loads !== undefined && tracked !== loads)
      return `the tracker of --load ${load} names iteration ${tracked}, and ${loads} is planned`;
    if (!(await iterationsIn(dataDir, load)).includes(tracked))
      return `the tracker of --load ${load} names iteration ${tracked}, and there is no ${iterationDir(tracked)}`;
  }
  if (save === undefined || save === load) return undefined;
  const held = await iterationsIn(dataDir, save);
  if (held.length === 0) return undefined;
  const from = load === undefined ? 'random weights' : `the weights in ${load}`;
  return `it would start from ${from} and save over --save ${save}, which holds iteration ${held.join(', ')}`;
}

export const valueOf = (script: string[], flag: string): string | undefined => {
  const at = script.indexOf(flag);
  return at < 0 ? undefined : script[at + 1];
};
