/** `npm run worker -- control` and `npm run worker -- node`: the two processes of a cluster; `drain` is said on a node before it goes. */
import { setFlagsFromString } from 'node:v8';
import { endOnSignals } from './early-signals.js';
import { program } from './program.js';

const roles: Record<string, () => Promise<void>> = {
  control: async () => (await import('./control.js')).runControl(),
  node: async () => {
    // It waits beside training, whose memory it is to leave alone; said before anything is loaded, this saves a fifth.
    setFlagsFromString('--optimize-for-size');
    await (await import('./node.js')).runNode();
  },
  drain: async () => (await import('./drain.js')).runDrain(),
};

const role = process.argv[2] ?? '';
const run = Object.hasOwn(roles, role) ? roles[role] : undefined;
if (!run) {
  process.stderr.write(`usage: npm run worker -- control | node | drain${role ? `; there is no "${role}"` : ''}\n`);
  process.exit(2);
}
endOnSignals();
// A worker is not for its output: it works on where nobody reads that any more.
program(
  async () => {
    (await import('./config.js')).refuseMisspelled();
    await run();
    process.exit(0);
  },
  { onClosed: () => undefined },
);
