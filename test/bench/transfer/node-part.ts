/** One node in a process of its own: its file service, and one copy when it is told to. */
import { startFileService } from '../../../activities/file-service.js';
import { grantAccess } from '../../../activities/grants.js';
import { pullArtifact, type PullOptions } from '../../../activities/transfer.js';

const [name = '', dataDir = '', host = ''] = process.argv.slice(2);
const { port } = await startFileService({ name, dataDir, host, port: 0 });
const token = await grantAccess(dataDir, { run: 'bench', series: 'bench' });
process.on('message', (options: PullOptions) => {
  pullArtifact(
    { name, dataDir },
    { ...options, onProblem: (peer, problem) => console.error(`${name}: ${peer}: ${problem}`) },
  ).then(
    () => process.send!({ done: true }),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.send!({ name, url: `http://${host}:${port}`, token });
