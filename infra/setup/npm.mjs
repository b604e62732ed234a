/** Step: node_modules holds exactly what package-lock.json says. */
import { join } from 'node:path';
import { root, run, say } from './step.mjs';
import { readStamp } from './stamp.mjs';

/** @typedef {{ version?: string, integrity?: string, optional?: boolean, devOptional?: boolean, peer?: boolean }} Package */

export async function installPackages() {
  const locked = readStamp(join(root, 'package-lock.json'))?.packages ?? {};
  // npm writes this file last, so an installation that was killed half-way has none.
  const installed = readStamp(join(root, 'node_modules', '.package-lock.json'))?.packages;
  const difference = installed === undefined ? 'no finished node_modules' : firstDifference(locked, installed);
  if (difference === undefined) return;
  say('npm', `npm ci, ${Object.keys(locked).length - 1} packages (${difference})`);
  // As started by npm, use that very npm: the one on PATH may belong to another Node.
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm'];
  const [command, ...first] = /** @type {[string, ...string[]]} */ (npm);
  await run('npm', command, [...first, 'ci', '--include=dev', '--no-audit', '--no-fund']);
}

/**
 * Compares contents, not times: `npm install <package>` by hand leaves both files right and must not cost an `npm ci`.
 * @param {Record<string, Package>} locked
 * @param {Record<string, Package>} installed
 * @returns {string | undefined} the first package that differs
 */
export function firstDifference(locked, installed) {
  const wrong = Object.keys(installed).find(
    (name) =>
      locked[name]?.version !== installed[name]?.version || locked[name]?.integrity !== installed[name]?.integrity,
  );
  if (wrong !== undefined) return `${wrong} differs`;
  // What is only for another platform is optional, locked and rightly absent.
  const missing = Object.keys(locked).find(
    (name) => name !== '' && !locked[name]?.optional && !locked[name]?.devOptional && !(name in installed),
  );
  return missing === undefined ? undefined : `${missing} is missing`;
}
