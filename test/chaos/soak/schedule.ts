/** What strikes when in a soak: incidents drawn by a seed, each of which is repaired before the next one. Pure. */
import { uniform } from '../../../infra/demo/random.js';
import { INCIDENTS, type Incident } from '../random.js';
import type { Role } from '../observed-run.js';
import type { SoakFaultName } from './strike.js';

export interface Strike {
  /** Seconds from the beginning. */
  at: number;
  do: SoakFaultName;
  to: Role;
  repair?: { by: SoakFaultName; afterSeconds: number };
}

type Kind = Omit<Incident, 'fault' | 'repair' | 'costs'> & {
  fault: SoakFaultName;
  repair?: { by: SoakFaultName; after: [number, number] };
};

const ANY: Role[] = ['first', 'last', 'spare'];
const CONTROL: Role[] = ['control'];

/** What comes with a month beside what `--random` plays. */
const LONG: Kind[] = [
  // Nothing may wake it before its silence is noticed.
  { fault: 'freezeRank', repair: { by: 'dropNothing', after: [75, 90] }, roles: ['first', 'last'] },
  { fault: 'freezeAgent', repair: { by: 'wakeAgent', after: [2, 20] }, roles: ANY },
  { fault: 'cutFromPeers', repair: { by: 'dropNothing', after: [2, 20] }, roles: ANY },
  { fault: 'fillDisk', repair: { by: 'freeDisk', after: [5, 20] }, roles: ANY },
  { fault: 'stepClockForth', repair: { by: 'rightClock', after: [10, 40] }, roles: [...ANY, 'control'] },
  { fault: 'stepClockBack', repair: { by: 'rightClock', after: [10, 40] }, roles: [...ANY, 'control'] },
  { fault: 'restartWorker', roles: CONTROL },
  { fault: 'upgradeControl', roles: CONTROL },
  { fault: 'upgradeNodes', roles: CONTROL },
];

/** A host that is down for good would end a soak early, and is the matrix's matter. */
const KINDS: Kind[] = [
  ...INCIDENTS.filter(({ fault, repair }) => fault !== 'freezeRank' && (fault !== 'killHost' || repair)),
  ...LONG,
];

/** Between a repair and the next incident: enough for a relaunch and a checkpoint that is copied. */
const QUIET: [number, number] = [20, 60];
/** At the end everything is to be whole again. */
const CALM_SECONDS = 30;

export function soakSchedule(seconds: number, seed: number): Strike[] {
  const random = uniform(seed);
  const between = ([low, high]: [number, number]): number => low + Math.floor(random() * (high - low + 1));
  const strikes: Strike[] = [];
  let deck: Kind[] = [];
  for (let at = between(QUIET); at < seconds - CALM_SECONDS; at += between(QUIET)) {
    // Every kind once before any comes again: an hour has few incidents, and none is to be left to luck.
    if (deck.length === 0) deck = [...KINDS];
    const [{ fault, repair, roles }] = deck.splice(Math.floor(random() * deck.length), 1) as [Kind];
    const to = roles[Math.floor(random() * roles.length)]!;
    const afterSeconds = repair && between(repair.after);
    strikes.push({ at, do: fault, to, ...(repair && { repair: { by: repair.by, afterSeconds: afterSeconds! } }) });
    at += afterSeconds ?? 0;
  }
  return strikes;
}
