/** The software that a rank is made of: which versions, and whether they are those of the release. */
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { releases, type Release } from '../../workflows/releases.js';
import { error, warning, type Finding } from './finding.js';

export interface CheckoutFacts {
  /** The exact version that the checkout's requirements.txt asks for. */
  transformersPin?: string;
  megatron: boolean;
}

export async function readCheckout(mindspeedDir: string): Promise<CheckoutFacts> {
  const requirements = await readFile(join(mindspeedDir, 'requirements.txt'), 'utf8').catch(() => '');
  const pin = /^transformers==([\w.]+)/m.exec(requirements)?.[1];
  const megatron = await access(join(mindspeedDir, 'megatron/core/package_info.py')).then(
    () => true,
    () => false,
  );
  return { ...(pin && { transformersPin: pin }), megatron };
}

/** CANN's version, where its environment says it is. */
export async function cannVersion(env: Record<string, string>): Promise<string | undefined> {
  const home = env['ASCEND_HOME_PATH'] ?? env['ASCEND_TOOLKIT_HOME'];
  if (!home) return undefined;
  const platforms = (await readdir(home).catch(() => [])).filter((name) => name.endsWith('-linux'));
  for (const platform of platforms) {
    const info = await readFile(join(home, platform, 'ascend_toolkit_install.info'), 'utf8').catch(() => '');
    const version = /^version=(\S+)/m.exec(info)?.[1];
    if (version) return version;
  }
  return undefined;
}

export interface StackFacts extends CheckoutFacts {
  versions: Record<string, string>;
  env: Record<string, string>;
  /** Compilers that are missing. */
  missingTools: string[];
}

export function stackFindings(
  { versions, env, megatron, transformersPin, missingTools }: StackFacts,
  release: Release,
): Finding[] {
  const findings: Finding[] = [];
  if (!env['ASCEND_HOME_PATH'] && !env['ASCEND_TOOLKIT_HOME'])
    findings.push(
      error({
        check: 'cann',
        what: "CANN's environment is not there",
        why: 'torch_npu cannot load libhccl.so without it',
        remedy: 'install CANN, or source its set_env.sh where the node worker is started',
      }),
    );
  if (!env['ATB_HOME_PATH'])
    findings.push(
      error({
        check: 'nnal',
        what: "the environment of CANN's nnal (ATB) is not there",
        why: 'fused operators need libatb.so',
        remedy: 'install nnal, or source nnal/atb/set_env.sh where the node worker is started',
      }),
    );
  if (!megatron)
    findings.push(
      error({
        check: 'megatron',
        what: 'the checkout has no megatron/core',
        why: 'MindSpeed-LLM does not bring it along and it is no pip package',
        remedy: `copy or link the megatron folder of ${releases[release].megatron} into the checkout`,
      }),
    );
  const { transformers } = versions;
  if (transformersPin && transformers && transformers !== transformersPin)
    findings.push(
      error({
        check: 'transformers',
        what: `transformers is ${transformers}, the checkout's requirements.txt wants ${transformersPin}`,
        why: 'other versions read configurations and tokenizers otherwise',
        remedy: `pip install transformers==${transformersPin}`,
      }),
    );
  for (const tool of missingTools)
    findings.push(
      error({
        check: 'tool-chain',
        what: `there is no ${tool}`,
        why: 'Megatron compiles its index helper at the first start: "Failed to compile the C++ dataset helper functions"',
        remedy: 'install make and g++',
      }),
    );
  return [...findings, ...unexpected(versions, release)];
}

/** Versions other than those that the release was published with often work; nobody has promised it. */
function unexpected(versions: Record<string, string>, release: Release): Finding[] {
  const { torch, torchNpu, cann, python } = releases[release];
  const known: Record<string, string[]> = { torch, torch_npu: torchNpu, cann, python };
  return Object.entries(known).flatMap(([component, wanted]) => {
    const found = versions[component];
    if (found === undefined || wanted.some((version) => isOf(found, version))) return [];
    return [
      warning({
        check: 'versions',
        what: `${component} is ${found}`,
        why: `MindSpeed-LLM ${release} was published with ${wanted.join(' or ')}`,
        remedy: `install that, or set mindspeed.release to the release of the checkout`,
      }),
    ];
  });
}

/** `2.7.1+cpu` and `2.7.1.post8` are 2.7.1; 2.7.10 is not. */
const isOf = (found: string, version: string): boolean =>
  found.startsWith(version) && /^([.+-]|$)/.test(found.slice(version.length));
