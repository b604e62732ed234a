/**
 * `pull-child.mjs <activities/transfer>`: a node in a process of its own that copies one artifact as soon as it is told to;
 * to be killed meanwhile.
 */
/** @type {typeof import('../../activities/transfer.js')} */
const { pullArtifact } = await import(process.argv[2] ?? '');

/** @typedef {{ asker: Parameters<typeof pullArtifact>[0], options: Parameters<typeof pullArtifact>[1] }} Copy */
process.once('message', (/** @type {Copy} */ { asker, options }) => {
  pullArtifact(asker, options).then(
    () => process.exit(0),
    (/** @type {unknown} */ error) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.send?.('ready');
