/** What the driver's answers mean for training. Pure. */
import { deviceFault } from '../../workflows/device-faults.js';
import { error, warning, type Finding } from './finding.js';
import { chipOptions, type Board, type Chip, type ChipEcc, type ChipHealth, type ChipProcess } from './npu-smi.js';

export interface ChipFacts {
  /** How many the driver lists. */
  listed: number;
  /** Devices that the run wants here. */
  wanted: number;
  /** Those it gets. */
  chips: Chip[];
  processes: ChipProcess[];
  /** `ASCEND_RT_VISIBLE_DEVICES` where it is set. */
  visible?: string | undefined;
  /** By place in `chips`. */
  health: (ChipHealth | undefined)[];
  ecc: (ChipEcc | undefined)[];
  board: Board;
}

/** MindSpeed-LLM supports devices of 64 GB; the driver tells a little less. */
const LEAST_HBM_MB = 60_000;
/** An idle device holds about a twentieth for itself: 3 GB of 64, 5 of 128. */
const idleMb = ({ hbmTotalMb }: Chip): number => Math.max(6_000, hbmTotalMb / 16);
/** At 64 isolated pages a device is due for replacement. */
const ISOLATED_PAGES = { error: 64, warning: 48 };

export function chipFindings(facts: ChipFacts): Finding[] {
  const { listed, wanted, chips, visible, board } = facts;
  return [
    ...(chips.length < wanted
      ? [
          error({
            check: 'devices',
            what: `npu-smi lists ${listed} devices${visible === undefined ? '' : `, ${chips.length} of them visible (ASCEND_RT_VISIBLE_DEVICES=${visible})`}, ${wanted} wanted`,
            why: 'a rank without a device fails with "Invalid device ID"',
            remedy:
              'look for lost ones with npu-smi info -m and in dmesg, reboot the machine, or correct cluster.devicesPerNode',
          }),
        ]
      : []),
    ...(board.compatible === false
      ? [
          error({
            check: 'firmware',
            what: `driver ${board.driver ?? '?'} and firmware ${board.firmware ?? '?'} do not go together`,
            why: 'devices may be lost or hang',
            remedy: 'install the firmware that belongs to the driver and reboot',
          }),
        ]
      : []),
    ...chips.flatMap((chip, index) => [
      ...sizeOf(chip, index),
      ...healthOf(chip, index, facts.health[index]),
      ...eccOf(index, facts.ecc[index]),
      ...useOf(chip, index, facts.processes),
    ]),
  ];
}

function sizeOf({ name, hbmTotalMb }: Chip, device: number): Finding[] {
  if (hbmTotalMb === 0 || hbmTotalMb >= LEAST_HBM_MB) return [];
  return [
    error({
      check: 'memory-size',
      what: `device ${device} (${name}) has ${hbmTotalMb} MB of HBM`,
      why: 'MindSpeed-LLM needs 64 GB a device',
      remedy: 'use another machine',
    }),
  ];
}

function healthOf(chip: Chip, device: number, said: ChipHealth | undefined): Finding[] {
  const [about, where, { health }] = [`device ${device}`, chipOptions(chip).join(' '), chip];
  const codes = (said?.codes ?? []).map((code) => codeFinding(code, about, where));
  if (codes.length || /^OK$/i.test(health)) return codes;
  const parts = {
    check: 'health',
    what: `${about} is in state ${health}${said?.information ? ` (${said.information})` : ''}`,
    why: 'a device that is not well fails in training',
    remedy: `look at npu-smi info ${where} -t health, reset the device or reboot`,
  };
  return [/^Warning$/i.test(health) ? warning(parts) : error(parts)];
}

function codeFinding(code: string, about: string, where: string): Finding {
  const { level, meaning } = deviceFault(code);
  const what = `${about} reports ${code}${meaning ? ` (${meaning})` : ''}`;
  const parts = { check: 'error-code', what };
  switch (level) {
    case 'NotHandle':
    case 'SubHealth':
      return warning({ ...parts, why: `level ${level}: training goes on`, remedy: 'watch the device' });
    case 'RestartRequest':
    case 'RestartBusiness':
      return warning({ ...parts, why: `level ${level}: it ended what ran`, remedy: 'nothing: a new launch clears it' });
    case 'FreeRestartNPU':
    case 'RestartNPU':
      return error({
        ...parts,
        why: `level ${level}: the device works again only after a reset`,
        remedy: `npu-smi set -t reset ${where}`,
      });
    case 'SeparateNPU':
      return error({
        ...parts,
        why: `level ${level}: the device is broken`,
        remedy: 'cordon the node, replace the device',
      });
    case 'PreSeparateNPU':
      return error({
        ...parts,
        why: `level ${level}: what runs goes on, and nothing new should be given to the device`,
        remedy: 'cordon the node until the device was looked at',
      });
    default:
      return error({
        ...parts,
        why: 'a code that is not in the list of known ones',
        remedy: `look it up, then npu-smi set -t reset ${where} or replace the device`,
      });
  }
}

function eccOf(device: number, ecc: ChipEcc | undefined): Finding[] {
  if (!ecc) return [];
  const check = 'ecc';
  if (ecc.isolatedPages >= ISOLATED_PAGES.warning) {
    const parts = {
      check,
      what: `device ${device} has isolated ${ecc.isolatedPages} pages of its HBM`,
      why: `at ${ISOLATED_PAGES.error} it can isolate no more`,
      remedy: 'have the device replaced',
    };
    return [ecc.isolatedPages >= ISOLATED_PAGES.error ? error(parts) : warning(parts)];
  }
  if (ecc.doubleBit === 0) return [];
  return [
    error({
      check,
      what: `device ${device} has had ${ecc.doubleBit} double-bit errors in its HBM since it was started`,
      why: 'the next one ends training with HBM MULTI BIT ECC ERROR',
      remedy: 'reset the device or reboot, so that the pages are isolated; have it replaced if it comes back',
    }),
  ];
}

function useOf(chip: Chip, device: number, processes: ChipProcess[]): Finding[] {
  const { hbmUsedMb } = chip;
  const mine = processes.filter((process) => process.npu === chip.npu && process.chip === chip.chip);
  if (mine.length)
    return mine.map(({ pid, name, memoryMb }) =>
      error({
        check: 'process',
        what: `device ${device} is in use by process ${pid}${name ? ` (${name})` : ', of another container'} with ${memoryMb} MB`,
        why: 'leftovers of an earlier run hold memory and ports: out of memory, EJ0001 or "Address already in use" follow',
        remedy: name ? `end it (kill ${pid}), or cordon the node` : 'stop the container that has the device',
      }),
    );
  if (hbmUsedMb <= idleMb(chip)) return [];
  return [
    error({
      check: 'memory-in-use',
      what: `device ${device} has ${hbmUsedMb} MB of HBM in use, and no process that npu-smi shows`,
      why: 'that memory is missing to training; a process of another container, or one that died badly, holds it',
      remedy: 'stop the other container, or reset the device',
    }),
  ];
}
