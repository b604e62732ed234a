/** What npm `tokenizers` makes of texts, asked of a process that ends with the answer. */
import { fork } from 'node:child_process';
import { programOf } from '../../own-program.js';
import type { OracleAnswer, OracleQuestion } from './oracle-process.js';

export function askOracle(question: OracleQuestion): Promise<Int32Array[]> {
  const { path, execArgv } = programOf(import.meta.url, './oracle-process');
  return new Promise((resolve, reject) => {
    const child = fork(path, [], {
      execArgv,
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    child.once('message', (answer: OracleAnswer) => {
      if ('ids' in answer) resolve(answer.ids);
      else reject(new Error(answer.failed));
    });
    child.once('error', reject);
    // After an answer this changes nothing.
    child.once('exit', (code, signal) => reject(new Error(`npm tokenizers' process ended with ${signal ?? code}`)));
    child.send(question);
  });
}
