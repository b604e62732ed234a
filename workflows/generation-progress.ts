/** What a generation is told, and what it knows of itself while it trains and tells its run. */
import { getExternalWorkflowHandle, log, patched, setHandler, workflowInfo } from '@temporalio/workflow';
import type { HangLimits, LaunchTrainingInput, Pace, Timing } from './contract.js';
import { createCopyRoles, writersOf, type CopyRoles, type LaunchedRoles } from './copy-roles.js';
import { longer } from './hang-limits.js';
import { listed } from './islands.js';
import {
  checkpointReplicated,
  copiesBehind,
  endGeneration,
  generationNews,
  replicated,
  retained,
  spareReady,
  trainingProgress,
  type GenerationNews,
  type Slowdown,
  type SpareReady,
} from './messages.js';
import { onSignal } from './on-signal.js';
import { inAll, newerThan, remembered, retention, type Complete, type KeepRule } from './retention.js';
import type { MemberFailure } from './failure-cause.js';
import { LOOKED_AT } from './open-activities.js';
import type { SeriesIdentity } from './series-identity.js';
import { isNewsDue, thinned } from './status.js';
import { createSlots } from './slots.js';
import type { Ending } from './wishes.js';

export interface GenerationInput extends LaunchedRoles {
  run: string;
  series: string;
  generation: number;
  token: number;
  devices: number;
  masterPort: number;
  script: string[];
  /** Of the ranks, over the node's own. Absent in generations that were started before there was one. */
  env?: Record<string, string>;
  startedFrom: number;
  /** Ranks make a checkpoint of a gang that fails, each node on storage of its own. */
  lastGasps?: true;
  /** Iteration of the checkpoint that the ranks are to load, 0 for another model's weights; absent where they load none. */
  loads?: number;
  /** What the `config.json` of the weights that the trainer converts must not say otherwise; absent where it converts none. */
  published?: LaunchTrainingInput['published'];
  /** As of `launchTraining`. */
  model?: Record<string, unknown>;
  /** What the series is trained with. Absent in generations that were started before anybody noted it. */
  identity?: SeriesIdentity;
  target: number;
  /** When training counts as hung; absent where nobody looks for that. */
  hang?: HangLimits;
  /** Absent in generations that were started before nodes went by it. */
  saveInterval?: number;
  keepCheckpoints: number;
  keepEvery?: number;
  /** Checkpoints that were complete before it began; absent in generations that were started before anybody counted them. */
  complete?: Complete[];
  timing: Timing;
  /** Set when this execution continues one that had launched already. */
  attached?: Reached;
}

/** How far a generation is. */
export interface Reached {
  /** Newest iteration whose every shard is sealed and copied. */
  replicated: number;
  /** When it became that, in milliseconds since the epoch; absent of one that an earlier generation saved. */
  replicatedAt?: number;
  iteration: number;
  loss?: number;
  /** When the last iteration was heard of, in milliseconds since the epoch. */
  asOf?: number;
  /** It was asked to end, when nothing newer than `after` was replicated. */
  ending?: { at: Ending; after: number };
  /** How long its phases took. */
  pace?: Pace;
  /** Checkpoints that are complete, as far as older ones have to be kept for them. */
  complete?: Complete[];
}

export interface GenerationResult extends Reached {
  /** `stopped`: because it was asked to. */
  outcome: 'finished' | 'failed' | 'stopped';
  members: MemberFailure[];
  /** Why the last save is not sealed and copied, where it is not. */
  behind?: string;
}

/** Points of the loss curve in one message to the run. */
const MAX_POINTS = 60;
/** Saves that a part is ahead of others, and that are remembered. */
const MAX_AHEAD = 50;
/** Generations that began before count an iteration that each part is past, also where one has left it out. */
const WHOLE_COUNTS = 'an iteration counts that is whole';

export type Progress = ReturnType<typeof followProgress>;

/** Takes in what the nodes report, and passes it on to the run: often at first, then now and then, and at the end. */
export function followProgress(input: GenerationInput) {
  const state = {
    iteration: input.attached?.iteration ?? input.startedFrom,
    loss: input.attached?.loss,
    asOf: input.attached?.asOf,
    secondsPerIteration: undefined as number | undefined,
    replicated: input.attached?.replicated ?? input.startedFrom,
    replicatedAt: input.attached?.replicatedAt,
    ending: input.attached?.ending,
    pace: longer(input.hang?.pace, input.attached?.pace),
    slow: undefined as Slowdown | undefined,
    saved: 0,
  };
  /** Why copies of checkpoints do not get on, by the part that does not. */
  const stuck = new Map<string, string>();
  const trouble = (): string | undefined => (state.saved > state.replicated ? [...stuck.values()][0] : undefined);
  /** Why no other gang may start yet. */
  let unconfirmed: string | undefined;
  const behind = (why: string): string =>
    `copies are behind: iteration ${state.saved} is saved, ${state.replicated || 'none'} copied; ${why}`;
  const roles = createCopyRoles(input);
  const arrived: SpareReady[] = [];
  const troubles = (): string[] => [
    ...[trouble()].flatMap((why) => (why === undefined ? [] : [behind(why)])),
    ...(unconfirmed === undefined ? [] : [unconfirmed]),
    ...uncopied(roles.uncopied()),
    ...[...unremoved].slice(0, 1).map(([task, why]) => `old checkpoints are not removed on ${task}: ${why}`),
  ];
  const copied = new Map<string, number>();
  /** Iterations that each part has done and not every other. A part that is behind leaves some out. */
  const done = new Map<string, number[]>();
  /** Newest iteration that was found in all parts. */
  let newestWhole = 0;
  const rule: KeepRule = { keep: input.keepCheckpoints, ...(input.keepEvery && { every: input.keepEvery }) };
  let complete = input.attached?.complete ?? input.complete ?? [];
  const unremoved = new Map<string, string>();
  let expected = roles.tasks().map(({ name }) => name);

  const reached = (iteration: number, at?: number): void => {
    if (iteration <= state.iteration) return;
    state.iteration = iteration;
    if (at !== undefined) state.asOf = at;
  };

  const { parent, startTime } = workflowInfo();
  let points: GenerationNews['points'] = [];
  const lostSpares: string[] = [];
  let toldAt = 0;
  let saidAt = 0;
  let told: string | undefined;

  const tell = async (): Promise<void> => {
    if (!parent) return;
    const news: GenerationNews = {
      generation: input.generation,
      at: (saidAt = Math.max(Date.now(), saidAt + 1)),
      iteration: state.iteration,
      replicated: state.replicated,
      ...(state.replicatedAt !== undefined && { replicatedAt: state.replicatedAt }),
      points,
      ...(state.loss !== undefined && { loss: state.loss }),
      ...(state.secondsPerIteration !== undefined && { secondsPerIteration: state.secondsPerIteration }),
      ...(state.slow && { slow: state.slow }),
      ...(troubles().length > 0 && { troubles: troubles() }),
      ...(lostSpares.length > 0 && { lostSpares: lostSpares.splice(0) }),
      ...(roles.isChanged() && { copies: writersOf(roles.kept().copies) }),
    };
    toldAt = Date.now();
    told = trouble();
    points = [];
    try {
      await getExternalWorkflowHandle(parent.workflowId).signal(generationNews, news);
    } catch (error) {
      log.warn('the run did not take the news', { error: String(error) });
    }
  };
  const tellIfDue = (): void => {
    if (trouble() !== told || isNewsDue(Date.now() - startTime.getTime(), Date.now() - toldAt)) void tell();
  };

  setHandler(replicated, () => state.replicated);
  setHandler(retained, () => retention(complete, rule));
  onSignal(endGeneration, ({ token, ending }) => {
    if (token !== input.token) return;
    state.ending = ending && { at: ending, after: state.ending?.after ?? state.replicated };
  });
  onSignal(trainingProgress, ({ token, iteration, loss, secondsPerIteration, saved, points: more, pace, slow }) => {
    if (token !== input.token) return;
    state.saved = Math.max(state.saved, saved ?? 0);
    state.pace = longer(state.pace, pace);
    state.slow = slow;
    reached(iteration, Date.now());
    state.loss = loss ?? state.loss;
    state.secondsPerIteration = secondsPerIteration ?? state.secondsPerIteration;
    points = thinned(points.concat(more), MAX_POINTS);
    tellIfDue();
  });
  const count = (): void => {
    const past = Math.min(...expected.map((name) => copied.get(name) ?? 0));
    if (past <= state.replicated) return;
    const counts = past > newestWhole && !patched(WHOLE_COUNTS) ? past : newestWhole;
    if (counts <= state.replicated) return;
    state.replicated = counts;
    state.replicatedAt = Date.now();
    tellIfDue();
  };
  const noteWhole = (): void => {
    const whole = inAll(expected.map((name) => done.get(name) ?? []));
    // A copier that starts again reports once more what it had done.
    complete = remembered([...whole.map((iteration) => ({ iteration, copied: true })), ...complete], rule);
    newestWhole = Math.max(newestWhole, ...whole);
    for (const [name, own] of done) done.set(name, newerThan(own, newestWhole));
  };
  onSignal(checkpointReplicated, ({ token, task, iteration, unremoved: left }) => {
    if (token !== input.token) return;
    if (left === undefined) unremoved.delete(task);
    else unremoved.set(task, left);
    done.set(task, [...(done.get(task) ?? []).filter((other) => other !== iteration), iteration].slice(-MAX_AHEAD));
    noteWhole();
    copied.set(task, Math.max(iteration, copied.get(task) ?? 0));
    stuck.delete(task);
    count();
    tellIfDue();
  });
  /** One of that name may have been lost, with what it had. */
  const forget = (task: string): void => {
    done.delete(task);
    copied.delete(task);
  };
  const copies = (task: string, why?: string): void => {
    if (why === undefined) stuck.delete(task);
    else stuck.set(task, why);
    tellIfDue();
  };
  onSignal(copiesBehind, ({ token, task, why }) => {
    if (token === input.token && expected.includes(task)) copies(task, why);
  });
  onSignal(spareReady, ({ token, ...ready }) => {
    if (token === input.token) arrived.push({ token, ...ready });
  });
  const summary = (): Reached => ({
    replicated: state.replicated,
    ...(state.replicatedAt !== undefined && { replicatedAt: state.replicatedAt }),
    iteration: state.iteration,
    ...(state.loss !== undefined && { loss: state.loss }),
    ...(state.asOf !== undefined && { asOf: state.asOf }),
    ...(state.ending && { ending: state.ending }),
    ...(Object.keys(state.pace).length > 0 && { pace: state.pace }),
    ...(complete.length > 0 && { complete }),
  });
  return {
    state,
    roles,
    /** For each look of other nodes at one that is silent: all are, where it is the server that was away. */
    looking: createSlots(LOOKED_AT),
    /** Spares that came since the launch, and have not been given a part. */
    arrived,
    /** Another trace of how far it trained, and when, if that is known. */
    reached,
    /** Why one part of the copying does not get on; without a reason it does. */
    copies,
    /** Why the last save is not copied, if it is not. */
    behind: (saved: number): string | undefined => {
      state.saved = Math.max(saved, state.saved);
      const why = trouble();
      return why === undefined ? undefined : behind(why);
    },
    /** Whether the time has come to end, which it was asked to. */
    isToEnd: () => state.ending !== undefined && (state.ending.at === 'now' || state.replicated > state.ending.after),
    /** No member has confirmed its stop, for this reason; without one, some has. */
    stopping: (why?: string): void => {
      if (why === unconfirmed) return;
      unconfirmed = why;
      void tell();
    },
    /** The last word: what was kept back till it was due. */
    tell,
    /** Other parts, or none, take the place of one whose node is gone. */
    replace: (task: string, others: string[], lostSpare?: string): void => {
      stuck.delete(task);
      if (lostSpare !== undefined) {
        lostSpares.push(lostSpare);
        void tell();
      }
      for (const other of others) forget(other);
      expected = [...expected.filter((other) => other !== task), ...others];
      noteWhole();
      count();
    },
    /** The parts that there are, where copying begins anew. */
    expect: (tasks: string[]): void => {
      for (const task of [...stuck.keys()]) if (!tasks.includes(task)) stuck.delete(task);
      expected = tasks;
    },
    /** One part more: from now on a save takes it too. */
    add: (task: string): void => {
      forget(task);
      expected = [...expected.filter((other) => other !== task), task];
      void tell();
    },
    /** What the execution that continues this one is given. */
    continued: (): GenerationInput => {
      for (const spare of arrived.splice(0)) roles.gain(spare);
      return { ...input, ...roles.kept(), attached: summary() };
    },
    summary,
  };
}

function uncopied({ alone, less }: ReturnType<CopyRoles['uncopied']>): string[] {
  const until = 'until a spare comes';
  return [
    ...(alone.length > 0
      ? [`no node is left to keep a copy of what ${listed(alone)} saves: ${until}, its own disk alone has it`]
      : []),
    ...(less.length > 0 ? [`what ${listed(less)} saves has a copy less than it is to have, ${until}`] : []),
  ];
}
