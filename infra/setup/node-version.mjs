/** The Node that everything here asks for: an older one would fail later, in words of somebody else's. */
import { join } from 'node:path';
import { readStamp } from './stamp.mjs';
import { root, SetupError } from './step.mjs';

export function checkNode() {
  const wanted = String(readStamp(join(root, 'package.json')).engines.node).replace('>=', '');
  const [major = 0, minor = 0] = wanted.split('.').map(Number);
  const [haveMajor = 0, haveMinor = 0] = process.versions.node.split('.').map(Number);
  if (haveMajor < major || (haveMajor === major && haveMinor < minor))
    throw new SetupError(`Node ${process.versions.node} is too old: install ${wanted} or newer`);
}
