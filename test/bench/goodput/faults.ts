/**
 * What interrupts training, how often, and what a gang's members see of it. Counts are those of Llama 3 405B, table 5 of
 * arXiv 2407.21783: 419 unexpected interruptions in 54 days on 16,384 devices. The lines are those that Ascend's stack
 * prints for the like; they are told apart by the pipeline's own rules, not here.
 */
import { DEVICE_DAYS } from '../../../workflows/save-interval.js';

export interface FaultKind {
  name: string;
  count: number;
  /** `lost`: the machine answers nobody. `failed`: a rank ends with `line`. `hung`: no iteration any more. */
  shows: 'lost' | 'failed' | 'hung';
  line?: string;
  /** Share of these that is there again until the node is repaired; guesses, overall near DLRover's (75 % cured by a restart). */
  lasting: number;
  /** Only ranks that run can have it: a program's own faults. */
  ofRanks?: true;
  /** What was on the machine's disk is gone. */
  takesDisk?: true;
}

const device = { shows: 'failed', line: 'HBM MULTI BIT ECC ERROR' } as const;
const machine = { shows: 'lost', lasting: 0.8 } as const;

export const FAULT_KINDS: FaultKind[] = [
  { name: 'faulty device', count: 148, lasting: 0.25, shows: 'failed', line: 'device lost heartbeart' },
  { name: 'device memory', count: 72, lasting: 0.25, ...device },
  {
    name: 'software bug',
    count: 54,
    lasting: 0,
    shows: 'failed',
    line: 'Segmentation fault (core dumped)',
    ofRanks: true,
  },
  { name: 'switch or cable', count: 35, lasting: 0.25, shows: 'hung' },
  { name: 'host maintenance', count: 32, shows: 'lost', lasting: 0.25 },
  { name: 'SRAM', count: 19, lasting: 0.25, ...device },
  { name: 'system processor', count: 17, lasting: 0.25, ...device },
  { name: 'NIC', count: 7, lasting: 0.5, shows: 'failed', line: '[Heartbeat] cqe error status[12]' },
  { name: 'collective time-out', count: 7, lasting: 0, shows: 'hung', ofRanks: true },
  {
    name: 'silent data corruption',
    count: 6,
    lasting: 0,
    shows: 'failed',
    line: 'found NaN in local grad norm',
    ofRanks: true,
  },
  { name: 'thermal interface or sensor', count: 6, lasting: 0.5, ...device },
  { name: 'SSD', count: 3, ...machine, takesDisk: true },
  { name: 'power supply', count: 3, ...machine },
  { name: 'chassis', count: 2, ...machine },
  { name: 'I/O board', count: 2, ...machine },
  {
    name: 'dependency',
    count: 2,
    lasting: 0,
    shows: 'failed',
    line: 'RuntimeError: a dependency failed',
    ofRanks: true,
  },
  { name: 'CPU', count: 2, ...machine },
  { name: 'system memory', count: 2, ...machine },
];

/** Links of a node that is known to have had trouble are not built at the next launch either. */
export const isOfLinks = ({ shows, name }: FaultKind): boolean => shows === 'hung' || name === 'NIC';

/** @param u from 0 to 1 */
export function drawKind(u: number, kinds = FAULT_KINDS): FaultKind {
  let left = u * kinds.reduce((sum, { count }) => sum + count, 0);
  return kinds.find(({ count }) => (left -= count) < 0) ?? kinds[0]!;
}

export interface FaultProfile {
  name: string;
  source: string;
  /** Days that one device runs between unexpected interruptions. */
  deviceDays: number;
  /** All of `FAULT_KINDS` where absent. */
  kinds?: FaultKind[];
  /** Share of nodes that have so large a share of all faults, one node at least. */
  sick?: { nodes: number; faults: number };
}

export const PROFILES: Record<string, FaultProfile> = {
  llama3: {
    ...{ name: 'llama3', deviceDays: DEVICE_DAYS.usual },
    source: 'Llama 3 405B: 419 unexpected interruptions in 54 days on 16,384 devices',
  },
  ant: {
    ...{ name: 'ant', deviceDays: DEVICE_DAYS.often },
    source: "DLRover's fleet: 0.27 % of devices fail a day",
  },
  sick: {
    ...{ name: 'sick', deviceDays: DEVICE_DAYS.often, sick: { nodes: 3 / 63, faults: 0.5 } },
    source: "DLRover's rate; 3 of 63 nodes cause half of it, as on the 504-GPU cluster of arXiv 2605.09370",
  },
};
