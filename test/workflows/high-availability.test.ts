/** What ranks with MindIO are started with: as MindCluster would have it, by the run file alone. */
import { expect, it } from 'vitest';
import { highAvailabilityEnvironment } from '../../workflows/high-availability.js';
import { torchrunEntry } from '../../workflows/plan.js';

const LAST_GASP = '--enable-high-availability';

it.each<[string, object, string | undefined]>([
  ['nothing', {}, undefined],
  ['a flag that is taken away', { [LAST_GASP]: false }, undefined],
  ['last gasps', { [LAST_GASP]: true }, 'dump'],
  [
    'all of it',
    {
      ...{ '--enable-elastic-training': true, '--enable-worker-reboot': true, '--enable-hbmfault-repair': true },
      [LAST_GASP]: true,
    },
    'dump,retry,recover,elastic-training',
  ],
])('of %s the ranks are told %s', (_, flags, strategies) => {
  const { HIGH_AVAILABILITY, ...others } = highAvailabilityEnvironment({ ...flags }, '10.0.0.7');
  expect(HIGH_AVAILABILITY).toBe(strategies);
  expect(others).toEqual(strategies === undefined ? {} : { TTP_ADDR: '10.0.0.7', HCCL_ASYNC_ERROR_HANDLING: '0' });
});

it('torchrun imports MindIO where ranks have last gasps, and is the usual one elsewhere', () => {
  expect(torchrunEntry(['pretrain_gpt.py', '--lr', '1'])).toEqual(['-m', 'torch.distributed.run']);
  const [option, program] = torchrunEntry(['pretrain_gpt.py', LAST_GASP]);
  expect(option).toBe('-c');
  expect(program).toMatch(/^import mindio_ttp\.framework_ttp; .*from torch\.distributed\.run import main/);
});
