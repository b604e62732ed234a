/** Tables computed by another process. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { programOf } from '../../own-program.js';
import type { TablesJob } from './tables-process.js';

/** Whether they were left behind is for whoever looks. */
export async function tablesElsewhere(job: TablesJob): Promise<void> {
  const { path, execArgv } = programOf(import.meta.url, './tables-process');
  const child = fork(path, [], { execArgv, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  child.send(job);
  await once(child, 'exit');
}
