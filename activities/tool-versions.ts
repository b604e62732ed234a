/** Versions of what the trainer imports, asked of the very Python and environment that training gets. */
import type { NodeDeps } from './node-deps.js';
import { run } from './shell.js';

/** Importing all of it takes seconds, on a busy machine many. */
const TIMEOUT_MS = 120_000;

const VERSIONS = `
import json, platform, sys
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try: found[name] = __import__(name).__version__
    except Exception as error: found[name] = f"missing: {error}"
print(json.dumps(found))
`;

/** Where each module is, and which file that is: another installation has another one. Imports nothing of them. */
const PLACES = `
import importlib.util, json, os, sys
def place(name):
    spec = importlib.util.find_spec(name)
    about = os.stat(spec.origin) if spec and spec.origin and os.path.exists(spec.origin) else None
    return [name, about and [spec.origin, about.st_ino, about.st_size, about.st_mtime_ns]]
print(json.dumps([sys.version] + [place(name) for name in sys.argv[1:]]))
`;

export type ToolVersions = (run: string) => Promise<Record<string, string>>;

/**
 * Throws where something cannot be imported. What a run was told once holds for its later launches as long as the same
 * files are installed: after a failure every second counts.
 */
export function createToolVersions({ name, python, profile, env, dataDir }: NodeDeps): ToolVersions {
  const modules = profile === 'npu' ? ['torch', 'numpy', 'torch_npu', 'transformers'] : ['torch', 'numpy'];
  const ask = (script: string) =>
    run([python, '-c', script, ...modules], { env, cwd: dataDir, timeout: TIMEOUT_MS, what: `${name}: versions` });
  let known: { run: string; places: string; versions: Record<string, string> } | undefined;

  return async (runName) => {
    const places = await ask(PLACES);
    if (known?.run === runName && known.places === places) return known.versions;
    const versions = JSON.parse(await ask(VERSIONS)) as Record<string, string>;
    for (const module of modules)
      if (versions[module]?.startsWith('missing'))
        throw new Error(
          `${python} cannot import ${module} (${versions[module].slice(9)}): install it, or set PRETRAIN_PYTHON`,
        );
    known = { run: runName, places, versions: { ...versions, node: process.versions.node } };
    return known.versions;
  };
}
