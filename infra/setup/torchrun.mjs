/** torchrun works in .venv: repaired where this Python and torch need it, and proven by a run of one process. */
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './free-port.mjs';
import { writeWhole } from './stamp.mjs';
import { ask, run, say } from './step.mjs';
import { sitePackages } from './torch.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, 'torchrun_repair.py');

/** @param {string} python the one in .venv */
export async function proveTorchrun(python) {
  const site = await sitePackages(python);
  // Asked without an earlier repair, or the repair would prove itself unnecessary.
  rmSync(join(site, 'torchrun_repair.pth'), { force: true });
  const answer = await ask(python, [source]);
  const needed = answer?.split(/\s+/).filter(Boolean) ?? [];
  if (needed.length > 0) {
    say('python', `repairing torchrun for this Python and torch (${needed.join(', ')})`);
    install(site, needed);
  }
  const rank = [join(here, 'torchrun_proof.py')];
  const launcher = ['-m', 'torch.distributed.run', '--nnodes', '1', '--node_rank', '0', '--nproc_per_node', '1'];
  const address = ['--master_addr', '127.0.0.1', '--master_port', String(await freePort())];
  const env = { ...process.env, OMP_NUM_THREADS: '1' };
  await run('torchrun', python, [...launcher, ...address, ...rank], { env, timeoutMs: 180_000 });
}

/**
 * A .pth line and not sitecustomize: Debian has a sitecustomize of its own, which comes first.
 * @param {string} site @param {string[]} needed
 */
function install(site, needed) {
  writeWhole(join(site, 'torchrun_repair.py'), readFileSync(source, 'utf8'));
  const names = needed.map((name) => JSON.stringify(name)).join(', ');
  writeWhole(join(site, 'torchrun_repair.pth'), `import torchrun_repair; torchrun_repair.install(${names})\n`);
}
