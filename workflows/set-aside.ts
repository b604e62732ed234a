/** What is damaged on every node that has it is no end of a run where it can be made again: it is set aside first. */
import { log } from '@temporalio/workflow';
import { onNode, type NodeInfo, type Timing } from './contract.js';
import { failureIn } from './failure-chain.js';

/** Tells whoever reads the run's page. */
export type Note = (text: string) => Promise<void>;

/** In a note, which is one line. */
const MAX_NODES = 3;

/**
 * Asks each of the nodes to read what it has of `dir`, and to set aside what is damaged.
 *
 * @param again what becomes of it: `converted`
 * @returns whether something was: otherwise the disks of these nodes are not what is wrong
 */
export async function setAsideDamaged(
  dir: string,
  nodes: NodeInfo[],
  timing: Timing,
  { again, note }: { again: string; note: Note },
): Promise<boolean> {
  const asked = nodes.map(async ({ name }) => ({ name, ...(await onNode(name, timing).setAsideDamaged({ dir })) }));
  const found = (await Promise.all(asked)).filter(({ aside }) => aside !== undefined);
  if (found.length === 0) return false;
  const where = found.slice(0, MAX_NODES).map(({ name, aside, files = 0, some = [] }) => {
    const more = files > some.length ? ` and ${files - some.length} more` : '';
    return `${name} (${some.join(', ')}${more}; now in <data>/${aside})`;
  });
  const others = found.length > MAX_NODES ? ` and ${found.length - MAX_NODES} more nodes` : '';
  const text = `${dir} is damaged on ${where.join(', ')}${others}: set aside until somebody removes it, and ${again} anew`;
  log.warn(text);
  await note(text);
  return true;
}

/** Of which directory below the data directory bytes were found to be wrong, if that is what an error says. */
export const damagedDir = (error: unknown): string | undefined =>
  (failureIn(error, 'DataCorrupt')?.details?.[0] as { dir?: string } | undefined)?.dir;
