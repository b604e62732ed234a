/**
 * Which error in a log came first and is a cause. When one rank fails, all others fail after it with lost
 * connections and time-outs, often louder than the first: these echoes count only when there is nothing else.
 */
import { constants } from 'node:os';
import type { LogEvent } from './training-log.js';

interface Found {
  text: string;
  /** Last iteration printed before it. */
  at: number;
  /** Where the line itself says when, in milliseconds since the epoch. */
  time?: number;
}

/** Texts that say that somebody else ended first, and torchrun's own summary of its ranks' ends. */
const ECHO = new RegExp(
  [
    'Connection (reset|closed|refused|aborted)|Broken pipe|Socket (closed|Timeout)|failed to recv|not connected',
    'gloo/transport|Timed out waiting|Dist(Network|Store|Backend)Error|Rendezvous\\w*(Error|Exception)|TCPStore',
    'Watchdog caught collective|FORCE STOP|EI0002|EI0006|EI9999|EJ9999|ERR02200|call hccl api failed',
    'ChildFailedError|SignalException|KeyboardInterrupt|Error waiting on exit barrier',
  ].join('|'),
);

/** Lines that are an error without a traceback. */
const PLAIN = [
  /^\S+\.py: error: .+/,
  /^\S*python\S*: (can't open file|No module named|Error while finding module) ?.*/,
  /^Fatal Python error: .+/,
  /^terminate called after throwing .+/,
  /^\[ERROR\] .+/,
  /^E[A-Z0-9]\d{4}: .+/,
];

/** Lines after which a rank ends with exit code 0. */
const QUITS = [
  /could not load the checkpoint/,
  /ERROR: Invalid metadata file .*/,
  /'?--exit-on-missing-checkpoint'? set \.\.\. exiting/,
  /Unable to load (optimizer|rng state) from checkpoint .*/,
];

const EXCEPTION = /^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Interrupt|Exit|Timeout|Failure)(?:: .*|\s*)$/;
const RANK_PREFIX = /^\[(?:rank|default)\d+\]:\s?/;
/** torchrun's own lines, by glog's or Python's prefix. */
const AGENT_PREFIX =
  /^(?:[EWIF]\d{4} \S+ +\d+ \S+\] (?:\[default\d+\]:)?|(?:ERROR|WARNING):torch\.distributed\.elastic\.\S+?:)/;
const RANK_FAILED = /failed \(exitcode: (-?\d+)\) local_rank: (\d+)/;

/** Iterations after which an error that training went on from is none. */
const SURVIVED = 5;
const LONGEST = 500;

export function createErrorSearch() {
  let causes: Found[] = [];
  let echoes: Found[] = [];
  let failed: { localRank: number; exitCode: number } | undefined;
  let iteration = 0;
  let tracebacks = 0;
  let previous = '';
  let noTracker = '';
  /** The next line belongs to the last cause: it says why. */
  let explains = false;

  function note(text: string, isEcho = ECHO.test(text)): void {
    const time = timeIn(text);
    const found = { text: text.trim().slice(0, LONGEST), at: iteration, ...(time !== undefined && { time }) };
    (isEcho ? echoes : causes).push(found);
  }

  function search(raw: string): LogEvent[] {
    const agent = AGENT_PREFIX.test(raw);
    const text = raw.replace(AGENT_PREFIX, '').replace(RANK_PREFIX, '');
    const rank = RANK_FAILED.exec(raw);
    if (rank) return [rankFailed(Number(rank[2]), Number(rank[1]))];
    if (text.includes('Traceback (most recent call last)')) {
      // An exception in a destructor is printed and passed over.
      if (!previous.startsWith('Exception ignored in')) tracebacks += text.split('Traceback (most recent').length - 1;
      return [];
    }
    if (QUITS.some((pattern) => pattern.test(text))) {
      note(text.includes('--exit-on-missing-checkpoint') && noTracker ? noTracker : text, false);
      explains = text.trim() === 'could not load the checkpoint';
      return [{ kind: 'rankQuit' }];
    }
    if (tracebacks > 0 && EXCEPTION.test(text)) {
      tracebacks--;
      note(text, agent || undefined);
    } else if (PLAIN.some((pattern) => pattern.test(text))) note(text);
    return [];
  }

  function rankFailed(localRank: number, exitCode: number): LogEvent {
    failed ??= { localRank, exitCode };
    const name = signalName(exitCode);
    if (name && name !== 'SIGTERM') note(`local rank ${localRank} was ended by ${name}`, false);
    return { kind: 'rankFailed', localRank, exitCode };
  }

  return {
    line(raw: string): LogEvent[] {
      if (explains) {
        explains = false;
        const last = causes.at(-1);
        if (last && !QUITS[0]!.test(raw)) last.text = `${last.text}: ${raw.trim()}`.slice(0, LONGEST);
      }
      const events = search(raw);
      noTracker = /could not find the metadata file.*/.exec(raw)?.[0] ?? noTracker;
      previous = raw;
      return events;
    },
    survived(now: number): void {
      iteration = now;
      const recent = ({ at }: Found) => now < at + SURVIVED;
      causes = causes.filter(recent);
      echoes = echoes.filter(recent);
    },
    first: (): string | undefined =>
      causes[0]?.text ??
      echoes[0]?.text ??
      (failed && `local rank ${failed.localRank} ended with exit code ${failed.exitCode}`),
    firstAt: (): number | undefined => (causes[0] ?? echoes[0])?.time,
    rankSignal: (): string | undefined => failed && signalName(failed.exitCode),
  };
}

/** How CANN and torch_npu print the time, in the node's own zone. */
function timeIn(text: string): number | undefined {
  const found = /\b(\d{4})-(\d\d)-(\d\d)-(\d\d):(\d\d):(\d\d)(\.\d{1,3})?/.exec(text);
  if (!found) return undefined;
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map(Number);
  return new Date(year!, month! - 1, day, hour, minute, second).getTime() + Math.round(Number(found[7] ?? 0) * 1000);
}

/** Python's way to say that a signal ended a process: its number, negative. */
const signalName = (exitCode: number): string | undefined =>
  Object.entries(constants.signals).find(([, number]) => number === -exitCode)?.[0];
