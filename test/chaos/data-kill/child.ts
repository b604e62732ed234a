import { perform, type Deed } from './deeds.js';
import { killAt } from './kill-at.js';

export interface Order {
  deed: Deed;
  dataDir: string;
  input: unknown;
  change: number;
  lateMs: number;
}

process.once('message', ({ deed, dataDir, input, change, lateMs }: Order) => {
  const work = async () => {
    const changes = await killAt(change, lateMs);
    await perform(deed, dataDir, input);
    return changes();
  };
  work().then(
    (changes) => process.send!({ changes }, () => process.exit(0)),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.send!('ready');
