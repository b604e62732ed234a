/** What makes a node worker on this machine one of an NPU machine: recorded tools, CANN's scripts, and a checkout. */
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../../workers/config.js';
import { entryPointsOf, type Release } from '../../workflows/releases.js';
import { NPU, recorded } from './npu-machine.js';

/** Environment of a node worker whose driver's tools answer like `machine`, on top of a real Python. */
export const npuEnvironment = (machine: string, checkout: string): Record<string, string> => ({
  PRETRAIN_PROFILE: 'npu',
  PRETRAIN_DEVICES: '8',
  PRETRAIN_PYTHON: join(root, '.venv/bin/python'),
  PRETRAIN_HOST_ROOT: recorded(machine, 'root'),
  MINDSPEED_LLM: checkout,
  NPU_MACHINE: join(NPU, 'machines', machine),
  PATH: `${join(NPU, 'bin')}:${process.env['PATH']}`,
  // There CANN's scripts are found, as after an installation without root.
  HOME: join(NPU, 'home'),
  PYTHONPATH: join(NPU, 'site-packages'),
  OMP_NUM_THREADS: '1',
});

/**
 * The reference backend as a checkout of MindSpeed-LLM: with its Megatron and its pins, and entry points that begin
 * with torch_npu, so that each of them ends at once where CANN's environment is missing.
 */
export async function npuCheckout(dir: string, release: Release): Promise<string> {
  await cp(join(root, 'infra/reference-backend'), dir, { recursive: true });
  await cp(recorded('a2', 'checkout/megatron'), join(dir, 'megatron'), { recursive: true });
  await cp(recorded('a2', 'checkout/requirements.txt'), join(dir, 'requirements.txt'));
  for (const entry of entryPointsOf(release)) {
    const path = join(dir, entry);
    await writeFile(path, `import torch_npu\n${await readFile(path, 'utf8')}`);
  }
  return dir;
}
