/** Debian packages, by apt-get as root or through a sudo that asks nothing. */
import { ask, run, say, SetupError } from './step.mjs';

/** @param {string} lane @param {string[]} packages */
export async function aptInstall(lane, packages) {
  const byHand = `apt-get install ${packages.join(' ')}`;
  if ((await ask('apt-get', ['--version'])) === undefined) throw new SetupError('there is no apt-get here');
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && (await ask('sudo', ['-n', 'true'])) === undefined)
    throw new SetupError(`no root rights without a password: run \`sudo ${byHand}\` and start again`);

  say(lane, `${byHand} (about 2 minutes)`);
  const asRoot = (/** @type {string} */ log, /** @type {string[]} */ command) => {
    const words = [...(isRoot ? [] : ['sudo', '-n']), 'env', 'DEBIAN_FRONTEND=noninteractive', ...command];
    return run(log, /** @type {string} */ (words[0]), words.slice(1));
  };
  // An installation that was killed half-way leaves packages unpacked but not configured; apt-get refuses to go on then.
  await asRoot('apt-configure', ['dpkg', '--configure', '-a']);
  const patient = ['-o', 'DPkg::Lock::Timeout=600'];
  await asRoot('apt-update', ['apt-get', ...patient, 'update']);
  await asRoot('apt-install', ['apt-get', ...patient, 'install', '-y', '--no-install-recommends', ...packages]);
}
