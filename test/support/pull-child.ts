/** A node in a process of its own that copies one artifact as soon as it is told to; to be killed meanwhile. */
import { pullArtifact, type PullOptions } from '../../activities/transfer.js';
import type { Asker } from '../../activities/peer-client.js';

process.once('message', ({ asker, options }: { asker: Asker; options: PullOptions }) => {
  pullArtifact(asker, options).then(
    () => process.exit(0),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.send!('ready');
