import { expect, it } from 'vitest';
import { scriptOf } from './torchrun.js';

it('gives torchrun the same training, which goes on from its newest checkpoint after a restart', () => {
  const argv = [
    ...['python3', '-m', 'torch.distributed.run', '--nnodes', '2', '/m/pretrain_gpt.py', '--lr', '1e-3'],
    ...['--load', 'converted', '--finetune', '--no-load-optim', '--no-load-rng', '--exit-on-missing-checkpoint'],
    ...['--save', 'series/s/checkpoints', '--no-shared-storage'],
  ];
  expect(scriptOf(argv)).toEqual([
    ...['/m/pretrain_gpt.py', '--lr', '1e-3', '--save', 'series/s/checkpoints', '--no-shared-storage'],
    ...['--load', 'series/s/checkpoints'],
  ]);
});
