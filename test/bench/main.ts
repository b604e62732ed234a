/**
 * `npm run bench -- <name> [options]`: measures against a peer in the same run and prints a table; with `--json` the last
 * line on stdout is one JSON object. Each is also a program of its own, which reads the options after its name.
 */
import { program } from '../../workers/program.js';

const benches: Record<string, () => Promise<unknown>> = {
  preprocess: () => import('./preprocess/main.js'),
  'preprocess-encoder': () => import('./preprocess/encoder.js'),
  'preprocess-memory': () => import('./preprocess/memory.js'),
  'preprocess-merge': () => import('./preprocess/merge.js'),
  goodput: () => import('./goodput/main.js'),
  recovery: () => import('./recovery/main.js'),
  replication: () => import('./replication/main.js'),
  overhead: () => import('./overhead/main.js'),
  scale: () => import('./scale/main.js'),
  month: () => import('./month/main.js'),
  transfer: () => import('./transfer.js'),
  'second-run': () => import('./second-run/main.js'),
};

const [name = ''] = process.argv.splice(2, 1);
const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (bench) program(async () => void (await bench()), { prefix: `bench ${name}: ` });
else {
  process.stderr.write(`bench: expected one of ${Object.keys(benches).join(', ')}, got ${name || 'nothing'}\n`);
  process.exitCode = 2;
}
