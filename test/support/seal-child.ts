/** `seal-child.ts <data directory> <dir> <file>`: a process that seals a shard as a node worker does, says so, and stays. */
import { createBesideTraining } from '../../activities/beside-training.js';

const [dataDir = '', dir = '', file = ''] = process.argv.slice(2);
await createBesideTraining({ name: 'n1', dataDir }).seal(dataDir, dir, [file], {});
process.stdout.write('sealed\n');
setInterval(() => undefined, 1000);
