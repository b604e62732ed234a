/** What the nodes' devices turned out to be, against what the run file's release, machine and flags are for. Pure. */
import type { NodeReport } from './contract.js';
import { listed } from './islands.js';
import { isAtLeast, type Machine } from './releases.js';
import { recipeFor } from './spec-rules.js';
import type { RunSpec } from './spec.js';
import { trainingFlags } from './training-flags.js';

/** New hardware in the release notes of 26.1.0 (release_notes_llm.md). */
const ASCEND_950_SINCE = '26.1.0';

type Kind = Machine | 'Ascend 950';

/** By the name that `npu-smi info` shows: 910B3 of A2, Ascend910 of A3, Ascend950PR. */
export function kindOf(device: string): Kind | undefined {
  if (/^(Ascend)?910B\d?/.test(device)) return 'A2';
  if (/^Ascend910(_93\w*)?$/.test(device)) return 'A3';
  return /^Ascend950/.test(device) ? 'Ascend 950' : undefined;
}

/** What may fail on these devices, or is meant for others; nothing that is known to. */
export function deviceNotes(spec: RunSpec, reports: Pick<NodeReport, 'name' | 'versions'>[]): string[] {
  const kinds = new Map<Kind, string[]>();
  for (const { name, versions } of reports) {
    const kind = kindOf(versions['device'] ?? '');
    if (kind) kinds.set(kind, [...(kinds.get(kind) ?? []), name]);
  }
  return [...kinds].flatMap(([kind, names]) => {
    const these = `devices of ${listed(names)} are ${kind === 'Ascend 950' ? kind : `those of ${kind}`}`;
    return [
      ...(kind === 'Ascend 950' ? about950(spec) : []),
      ...(kind !== spec.cluster.machine && recipeFor(spec)
        ? [
            `cluster.machine is "${spec.cluster.machine}", whose flags ${spec.model.preset} is trained with${kind === 'Ascend 950' ? ': there is no example for these' : ''}`,
          ]
        : []),
    ].map((what) => `${these}: ${what}`);
  });
}

function about950(spec: RunSpec): string[] {
  const { release } = spec.mindspeed;
  const flags = { ...trainingFlags(spec), ...spec.train.extraArgs };
  return [
    ...(isAtLeast(release, ASCEND_950_SINCE)
      ? []
      : [`MindSpeed-LLM supports them from ${ASCEND_950_SINCE} on, and mindspeed.release is ${release}`]),
    // communication-over-computation.md of 26.1.0.
    ...(flags['--coc-fused-kernel'] === true
      ? ['MindSpeed-LLM has no fused operators for them; take "--coc-fused-kernel" out of train.extraArgs']
      : []),
  ];
}
