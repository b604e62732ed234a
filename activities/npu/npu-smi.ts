/** What `npu-smi` prints, read. Pure. Formats of A2 (one chip a card), A3 (two) and Ascend 950; see test/fixtures/npu. */

export interface Chip {
  npu: number;
  /** Absent where cards have no chips to tell apart, and no query takes one (Ascend 950). */
  chip?: number;
  /** Its number on the machine, by which `hccn_tool` knows it: of a part of the devices, not their place among them. */
  physical: number;
  name: string;
  health: string;
  hbmUsedMb: number;
  hbmTotalMb: number;
}

export interface ChipProcess {
  npu: number;
  chip?: number;
  pid: number;
  /** Empty when the process is in another container. */
  name: string;
  memoryMb: number;
}

export interface NpuTable {
  chips: Chip[];
  processes: ChipProcess[];
}

// Numbers have fifteen digits at most: more of them, in a damaged line, would be no number any more.
/** Number and name, in one cell or, of Ascend 950, in two. */
const CARD_ROW = /^\|\s*(\d{1,15})(?:\s+|\s*\|\s*)([^\s|]+)\s*\|\s*([A-Za-z]+)\s*\|/;
/**
 * Chip, on A3 its physical id, of Ascend 950 neither; the bus id, and figures of which HBM is the last pair; numbers
 * may touch the slash.
 */
const CHIP_ROW = /^\|\s*(?:(\d{1,15})(?:\s+(\d{1,15}))?|\|)\s*\|\s*(?:[0-9A-Fa-f]{4}:\S+|NA)\s*\|(.*)\|\s*$/;
const PROCESS_HEADER = /Process id/i;
/** Newer ones have a column more, the process's number in its container. */
const PROCESS_ROW = /^\|\s*(\d{1,15})(?:\s+(\d{1,15}))?\s*\|\s*(\d{1,15})\s*\|\s*([^|]*?)\s*\|\s*(\d{1,15})\s*\|/;
const COUNT = /^\d{1,15}$/;

/** The table of `npu-smi info`: what counts are its chips, not its card numbers. */
export function parseTable(text: string): NpuTable {
  const lines = text.split('\n');
  // Rows of processes look like rows of devices.
  const cut = lines.findIndex((line) => PROCESS_HEADER.test(line));
  const chips: Chip[] = [];
  let card: RegExpExecArray | undefined;
  for (const line of cut < 0 ? lines : lines.slice(0, cut)) {
    const chip = CHIP_ROW.exec(line);
    if (chip && card) {
      const [, number, physical, figures] = chip;
      const [used, total] = [...figures!.matchAll(/\b(\d{1,15})\s*\/\s*(\d{1,15})\b/g)].at(-1)?.slice(1) ?? [0, 0];
      chips.push({
        ...{ npu: Number(card[1]), ...(number !== undefined && { chip: Number(number) }) },
        ...{ physical: Number(physical ?? card[1]), name: card[2]!, health: card[3]! },
        ...{ hbmUsedMb: Number(used), hbmTotalMb: Number(total) },
      });
      card = undefined;
    } else card = CARD_ROW.exec(line) ?? card;
  }
  return { chips, processes: cut < 0 ? [] : processesIn(lines.slice(cut)) };
}

const processesIn = (lines: string[]): ChipProcess[] =>
  lines.flatMap((line) => {
    const row = PROCESS_ROW.exec(line);
    if (!row) return [];
    const [, npu, chip, pid, name, memory] = row;
    return [
      {
        ...{ npu: Number(npu), ...(chip !== undefined && { chip: Number(chip) }) },
        ...{ pid: Number(pid), name: name!, memoryMb: Number(memory) },
      },
    ];
  });

/** Of the queries about one chip. */
export const chipOptions = ({ npu, chip }: Chip): string[] => [
  ...['-i', String(npu)],
  ...(chip === undefined ? [] : ['-c', String(chip)]),
];

/**
 * Those that ranks get: the first of the visible ones, as torch_npu counts them. Of others, which another job may have,
 * nothing is asked.
 * @param visible `ASCEND_RT_VISIBLE_DEVICES` where it is set
 */
export function chipsUsed(chips: Chip[], wanted: number, visible: string | undefined): Chip[] {
  const places = visible?.split(',').map((place) => (COUNT.test(place.trim()) ? Number(place) : -1));
  return (places ? places.flatMap((place) => chips[place] ?? []) : chips).slice(0, wanted);
}

/** Lines of `label : value`, as all other queries print them. */
export const parsePairs = (text: string): Map<string, string> =>
  new Map(
    text.split('\n').flatMap((line) => {
      const pair = /^\s*([A-Za-z][^:]*?)\s*:\s*(.*?)\s*$/.exec(line);
      return pair ? [[pair[1]!, pair[2]!] as const] : [];
    }),
  );

export interface ChipHealth {
  status: string;
  /** Eight hexadecimal digits each. */
  codes: string[];
  information: string;
}

/** `npu-smi info -i N -c C -t health`, of Ascend 950 without `-c`. */
export function parseHealth(text: string): ChipHealth {
  const pairs = parsePairs(text);
  const value = (label: string) => (pairs.get(label) ?? 'NA').replace(/^NA$/, '');
  return {
    status: pairs.get('Health Status') ?? 'UNKNOWN',
    codes:
      value('Error Code')
        .match(/\b[0-9A-Fa-f]{8}\b/g)
        ?.map((code) => code.toUpperCase()) ?? [],
    information: value('Error Information'),
  };
}

export interface ChipEcc {
  doubleBit: number;
  isolatedPages: number;
}

/** `npu-smi info -i N -c C -t ecc`. Single-bit errors are corrected and normal. */
export function parseEcc(text: string): ChipEcc {
  const pairs = [...parsePairs(text)];
  const sum = (label: RegExp) =>
    pairs.reduce((total, [name, value]) => (label.test(name) && COUNT.test(value) ? total + Number(value) : total), 0);
  return {
    doubleBit: sum(/^HBM Double Bit Error Count$/i),
    isolatedPages: sum(/^HBM .*Isolated Pages Count$/i),
  };
}

export interface Board {
  driver?: string;
  firmware?: string;
  compatible?: boolean;
}

/** `npu-smi info -i N -t board`: the driver's own verdict on its firmware. */
export function parseBoard(text: string): Board {
  const pairs = parsePairs(text);
  const [driver, firmware] = [pairs.get('Software Version'), pairs.get('Firmware Version')];
  const compatibility = pairs.get('Compatibility');
  return {
    ...(driver && { driver }),
    ...(firmware && { firmware }),
    ...(compatibility && { compatible: /^OK$/i.test(compatibility) }),
  };
}
