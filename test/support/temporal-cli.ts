/** The real Temporal CLI, as an operator calls it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { temporalBinary } from '../../infra/demo/temporal-server.js';

export interface CliAnswer {
  code: number;
  stdout: string;
  stderr: string;
}

/** Never throws for an exit code. */
export async function temporalCli(address: string, ...args: string[]): Promise<CliAnswer> {
  const options = { env: { ...process.env, TEMPORAL_ADDRESS: address }, maxBuffer: 1 << 26 };
  try {
    return { code: 0, ...(await promisify(execFile)(await temporalBinary(), args, options)) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: number; stdout?: string; stderr?: string };
    if (typeof code !== 'number') throw error;
    return { code, stdout: stdout ?? '', stderr: stderr ?? '' };
  }
}

/** What an update is answered, and whether it was accepted. */
export async function cliUpdate(
  cli: (...args: string[]) => Promise<CliAnswer>,
  id: string,
  name: string,
  fields: object,
): Promise<{ ok: boolean; says: string }> {
  const input = JSON.stringify({ who: 'ann', why: 'new fans', ...fields });
  const { code, stdout, stderr } = await cli(
    ...['workflow', 'update', 'execute', '-w', id, '--name', name, '--input', input],
  );
  return { ok: code === 0, says: stdout + stderr };
}
