/** What differs between releases of MindSpeed-LLM, as far as commands and checks depend on it. Data only. */

/** In order of appearance. The guide's own is the first. */
export const RELEASES = ['2.1.0', '2.2.0', '2.3.0', '26.0.0', '26.1.0'] as const;
export type Release = (typeof RELEASES)[number];

export const MACHINES = ['A2', 'A3'] as const;
export type Machine = (typeof MACHINES)[number];

export const isAtLeast = (release: Release, other: Release): boolean =>
  RELEASES.indexOf(release) >= RELEASES.indexOf(other);

export interface ReleaseFacts {
  /** Entry point and generation of the weight converter; the second one came with 2.2.0 and needs less memory. */
  converter: { script: string; version: 1 | 2 };
  megatron: string;
  /** Versions that the release was published with (README, PyTorch's COMPATIBILITY.md), by first digits. */
  torch: string[];
  torchNpu: string[];
  cann: string[];
  python: string[];
  /** Megatron 0.8 has no `--ckpt-format`: it knows the torch format only. */
  ckptFormat: boolean;
  /** Name of the flag for the width of an expert. */
  expertWidthFlag: string;
}

const V2 = { script: 'convert_ckpt_v2.py', version: 2 } as const;
const MEGATRON_12 = { megatron: 'core_v0.12.1', ckptFormat: true, expertWidthFlag: '--moe-ffn-hidden-size' };

export const releases: Record<Release, ReleaseFacts> = {
  '2.1.0': {
    converter: { script: 'convert_ckpt.py', version: 1 },
    megatron: 'core_r0.8.0',
    ckptFormat: false,
    expertWidthFlag: '--moe-intermediate-size',
    torch: ['2.1.0', '2.6.0'],
    torchNpu: ['2.1.0', '2.6.0'],
    cann: ['8.2'],
    python: ['3.9', '3.10'],
  },
  '2.2.0': { ...MEGATRON_12, converter: V2, torch: ['2.7.1'], torchNpu: ['2.7.1'], cann: ['8.3'], python: ['3.10'] },
  '2.3.0': { ...MEGATRON_12, converter: V2, torch: ['2.7.1'], torchNpu: ['2.7.1'], cann: ['8.5'], python: ['3.10'] },
  '26.0.0': {
    ...MEGATRON_12,
    converter: V2,
    torch: ['2.7.1'],
    torchNpu: ['2.7.1'],
    cann: ['9.0', '8.3', '8.5'],
    python: ['3.10', '3.11'],
  },
  '26.1.0': {
    ...MEGATRON_12,
    converter: V2,
    torch: ['2.7.1'],
    torchNpu: ['2.7.1'],
    cann: ['9.1', '9.0', '8.5', '8.3'],
    python: ['3.10', '3.11'],
  },
};

/** What a checkout of this release must have for this pipeline. */
export const entryPointsOf = (release: Release): string[] => [
  'pretrain_gpt.py',
  'preprocess_data.py',
  releases[release].converter.script,
];
