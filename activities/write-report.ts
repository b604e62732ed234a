/** Writes the page that remains of a run. */
import { join } from 'node:path';
import type { ControlActivities } from '../workflows/contract.js';
import { writeFileAtomic } from './atomic.js';
import { renderReport } from './report-page.js';

export const createWriteReport =
  (dir: string): ControlActivities['writeReport'] =>
  async ({ run, state, result }) => {
    const path = join(dir, `${run}.html`);
    await writeFileAtomic(path, renderReport(state, result));
    return { path };
  };
