/** What the pipeline's one parser makes of a log of ours, and of the recorded log of the real MindSpeed-LLM. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTrainingLog } from '../../activities/training-log.js';
import { golden } from './support.js';

/** That another member is gone or silent is one thing, however gloo and the operating system word it. */
const PEER = /^.*(Connection closed by peer|Connection reset by peer|Broken pipe|Timed out waiting).*$/;

/** Outcome, iterations and first error; without the loss, which is compared elsewhere, and names of this machine. */
export function verdict(text: string): object {
  const log = createTrainingLog();
  text.split('\n').forEach((line) => log.line(line));
  const { loss: _, ...figures } = log.verdict();
  const error = log
    .firstError()
    ?.replace(PEER, 'peer is gone')
    .replace(/(?<=\/)[0-9a-f]{32}-/, 'md5-')
    .replace(/(?<=node )\S+(?=,)/, 'host')
    .replace(/(?<=Process )\d+/, 'pid');
  return { ...figures, ...(error !== undefined && { error }) };
}

/** Of a recorded run, by its name in logs.json: one verdict a node. */
export async function recordedVerdicts(name: string, nodes = ['.node0', '.node1']): Promise<object[]> {
  const logs = nodes.map((node) => readFile(join(golden, 'logs', `${name}${node}.log`), 'utf8'));
  return (await Promise.all(logs)).map(verdict);
}
