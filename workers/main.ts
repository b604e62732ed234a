/** `npm run worker -- control` and `npm run worker -- node`: the two processes of a cluster. */
import { runControl } from './control.js';
import { runNode } from './node.js';
import { program } from './program.js';

const roles: Record<string, () => Promise<void>> = { control: runControl, node: runNode };

const role = process.argv[2] ?? '';
const run = Object.hasOwn(roles, role) ? roles[role] : undefined;
if (!run) {
  process.stderr.write(`usage: npm run worker -- control | node${role ? `; there is no "${role}"` : ''}\n`);
  process.exit(2);
}
// A worker is not for its output: it works on where nobody reads that any more.
program(() => run().then(() => process.exit(0)), { onClosed: () => undefined });
