/** What `npu-smi` prints, read. Pure. Formats of A2 (one chip a card) and A3 (two); see test/fixtures/npu. */

export interface Chip {
  npu: number;
  chip: number;
  name: string;
  health: string;
  hbmUsedMb: number;
  hbmTotalMb: number;
}

export interface ChipProcess {
  npu: number;
  chip: number;
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
const CARD_ROW = /^\|\s*(\d{1,15})\s+(\S+)\s*\|\s*([A-Za-z]+)\s*\|/;
/** Chip, on A3 its physical id, the bus id, and figures of which HBM is the last pair; numbers may touch the slash. */
const CHIP_ROW = /^\|\s*(\d{1,15})(?:\s+\d+)?\s*\|\s*(?:[0-9A-Fa-f]{4}:\S+|NA)\s*\|(.*)\|\s*$/;
const PROCESS_HEADER = /Process id/i;
const PROCESS_ROW = /^\|\s*(\d{1,15})\s+(\d{1,15})\s*\|\s*(\d{1,15})\s*\|\s*(\S*)\s*\|\s*(\d{1,15})\s*\|/;
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
      const [used, total] = [...chip[2]!.matchAll(/\b(\d{1,15})\s*\/\s*(\d{1,15})\b/g)].at(-1)?.slice(1) ?? [0, 0];
      chips.push({
        ...{ npu: Number(card[1]), chip: Number(chip[1]), name: card[2]!, health: card[3]! },
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
    return [{ npu: Number(npu), chip: Number(chip), pid: Number(pid), name: name!, memoryMb: Number(memory) }];
  });

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

/** `npu-smi info -i N -c C -t health`. */
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
