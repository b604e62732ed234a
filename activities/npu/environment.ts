/** CANN's environment, taken from its scripts: what one shell has sourced does not reach a command that another starts. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../shell.js';

/** In order of age, the newest first: as root, without root, and up to CANN 8.2. */
const CANN = [
  '/usr/local/Ascend/cann/set_env.sh',
  '~/Ascend/cann/set_env.sh',
  '/usr/local/Ascend/ascend-toolkit/set_env.sh',
];
const NNAL = ['/usr/local/Ascend/nnal/atb/set_env.sh', '~/Ascend/nnal/atb/set_env.sh'];

/** The scripts read variables that nobody has set, and their last command may fail: neither is an error. */
const SOURCE = 'for script in "$@"; do source "$script"; done >&2; exec env -0';

export interface AscendScripts {
  cann?: string;
  nnal?: string;
}

/** Where the two scripts are on this machine. `root` is where the file system begins. */
export async function findScripts(home: string | undefined, root = '/'): Promise<AscendScripts> {
  const first = async (candidates: string[]) => {
    for (const candidate of candidates) {
      if (candidate.startsWith('~') && home === undefined) continue;
      const path = candidate.startsWith('~') ? join(home!, candidate.slice(1)) : join(root, candidate);
      if (
        await access(path).then(
          () => true,
          () => false,
        )
      )
        return path;
    }
    return undefined;
  };
  const [cann, nnal] = [await first(CANN), await first(NNAL)];
  return { ...(cann && { cann }), ...(nnal && { nnal }) };
}

/** The environment after sourcing what of the two is there and has not been sourced yet. */
export async function ascendEnvironment(env: Record<string, string>, root = '/'): Promise<Record<string, string>> {
  const { cann, nnal } = await findScripts(env['HOME'], root);
  const sourced = env['ASCEND_HOME_PATH'] ?? env['ASCEND_TOOLKIT_HOME'];
  const scripts = [...(cann && !sourced ? [cann] : []), ...(nnal && !env['ATB_HOME_PATH'] ? [nnal] : [])];
  if (!scripts.length) return env;
  const printed = await run(['bash', '-c', SOURCE, 'bash', ...scripts], {
    ...{ env, timeout: 60_000, what: `sourcing ${scripts.join(' and ')}` },
  });
  const pairs = printed.split('\0').flatMap((pair) => {
    const at = pair.indexOf('=');
    return at > 0 ? [[pair.slice(0, at), pair.slice(at + 1)] as const] : [];
  });
  const { _: __, SHLVL: ___, PWD: ____, ...found } = Object.fromEntries(pairs);
  return found;
}
