/** What to do after a generation has failed. Pure and table-tested: evidence in, one decision out. */
import type { MemberEvidence } from './contract.js';

/** How one member of a failed generation ended. */
export interface MemberFailure {
  node: string;
  /** Lost: neither its worker nor its stop answered. Failed: its ranks ended with an error. Stopped: ended by us. */
  kind: 'lost' | 'failed' | 'stopped';
  message: string;
  evidence?: MemberEvidence;
}

/** A generation that failed, as far as later decisions need it. */
export interface FailedGeneration {
  generation: number;
  /** Newest replicated checkpoint when it started, and when it ended. */
  startedFrom: number;
  endedAt: number;
  culprit?: string;
  cause: Cause;
}

export type Cause = 'node' | 'hardware' | 'network' | 'environment' | 'user' | 'numeric' | 'unknown';

export type Decision =
  | { action: 'relaunch'; replace: string[]; cause: Cause; culprit?: string; why: string }
  | { action: 'stop'; type: 'CommandFailed' | 'NoProgress'; cause: Cause; culprit?: string; why: string };

/** First error line → class. In order: the first pattern that fits decides. Sources: reading of torch_npu, CANN and Megatron texts. */
const CLASSES: [RegExp, Cause][] = [
  [/found NaN|found Inf|Unexpected result nan/i, 'numeric'],
  [/unrecognized arguments|invalid choice|the following arguments are required/i, 'user'],
  [/OptimizerParamScheduler|size mismatch|KeyError|AssertionError|NotImplementedError/i, 'user'],
  [/out of memory|OutOfMemoryError|EL0004/i, 'user'],
  [/MULTI BIT ECC|UCE ERROR|SUSPECT MEM ERROR|Device lost heart|LINK ERROR|device lost/i, 'hardware'],
  [/Address already in use|EJ0001|libhccl|libatb|No space left|Permission denied|EI0006/i, 'environment'],
  [
    /Connection reset|Connection refused|Connection closed|Timed out|Broken pipe|EI0002|gloo|heartbeat lost/i,
    'network',
  ],
];

/** Texts that say that *another* member ended: never the cause while a different text is there. */
const SYMPTOM = /Connection reset|Connection closed|Connection refused|Timed out|Broken pipe|EI0002|EI9999|gloo/i;

const classify = (firstError: string | undefined): Cause =>
  CLASSES.find(([pattern]) => pattern.test(firstError ?? ''))?.[1] ?? 'unknown';

/** Failures without a newer checkpoint after which a run gives up. */
const WITHOUT_PROGRESS = 3;

/**
 * @param members how each member ended
 * @param history the failed generations of this run, this one last
 */
export function decide(
  members: MemberFailure[],
  history: Omit<FailedGeneration, 'culprit' | 'cause'>[],
  maxFailures: number,
): Decision {
  const lost = members.filter(({ kind }) => kind === 'lost').map(({ node }) => node);
  const blamed = culpritOf(members);
  const cause: Cause = lost.length ? 'node' : classify(blamed?.evidence?.firstError);
  const about = { cause, ...(blamed && { culprit: blamed.node }) };
  const said = blamed ? `${blamed.node}: ${blamed.evidence?.firstError ?? blamed.message}` : 'no member says why';

  if (cause === 'user')
    return {
      action: 'stop',
      type: 'CommandFailed',
      ...about,
      why: `${said}. A retry would end the same way (log: ${blamed?.evidence?.logPath ?? 'on the node'})`,
    };
  if (cause === 'numeric' && withoutProgress(history) >= 2)
    return {
      action: 'stop',
      type: 'CommandFailed',
      ...about,
      why: `${said}, again after a restart from the same checkpoint: data or settings, not a node`,
    };
  if (withoutProgress(history) >= WITHOUT_PROGRESS)
    return {
      action: 'stop',
      type: 'NoProgress',
      ...about,
      why: `${WITHOUT_PROGRESS} generations in a row ended without a newer checkpoint; last: ${said}`,
    };
  if (history.length > maxFailures)
    return {
      action: 'stop',
      type: 'NoProgress',
      ...about,
      why: `${history.length} failures, more than recovery.maxFailures = ${maxFailures}; last: ${said}`,
    };
  if (lost.length) return { action: 'relaunch', replace: lost, ...about, why: `${lost.join(', ')} did not answer` };
  if (cause === 'hardware') return { action: 'relaunch', replace: [blamed!.node], ...about, why: said };
  return { action: 'relaunch', replace: [], ...about, why: said };
}

/** The lost node, else the member whose error is not the echo of another's end. */
function culpritOf(members: MemberFailure[]): MemberFailure | undefined {
  const failed = members.filter(({ kind }) => kind === 'failed');
  return (
    members.find(({ kind }) => kind === 'lost') ??
    failed.find(({ evidence }) => evidence?.signal !== undefined) ??
    failed.find(({ evidence }) => evidence?.firstError && !SYMPTOM.test(evidence.firstError)) ??
    failed[0]
  );
}

function withoutProgress(history: Pick<FailedGeneration, 'startedFrom' | 'endedAt'>[]): number {
  let count = 0;
  for (const { startedFrom, endedAt } of [...history].reverse()) {
    if (endedAt > startedFrom) break;
    count++;
  }
  return count;
}
