/**
 * One run's life, event by event. Decisions are the pipeline's own: whom to blame, what to do about it, who gets which
 * node, who rests, where copies go, which checkpoint is complete, how long silence is allowed. Time and faults are made up.
 */
import { blame, type Cause } from '../../../workflows/failure-cause.js';
import { decide, type FailedGeneration } from '../../../workflows/recovery.js';
import { allShards, placeNodes } from '../../../workflows/topology.js';
import { startSeconds } from './assumptions.js';
import { createClock, type Phase } from './clock.js';
import { createCopies, createPlans, type Copies } from './copies.js';
import { createCrew } from './crew.js';
import { createDisks } from './disks.js';
import { createFaults, type Draw } from './draws.js';
import { membersOf, type Struck } from './evidence.js';
import { isOfLinks } from './faults.js';
import { progressAfter, type Progress } from './saves.js';
import type { Outcome, Scenario } from './scenario.js';
import { silences } from './silence.js';

const HOUR = 3600;
const DAY = 86_400;
/** `train.keepCheckpoints` where a run file does not say. */
const KEEP = 2;

export function simulate(scenario: Scenario): Outcome {
  const { nodes, devices, spares, extra, replicas, parallel, profile, assumptions, limits } = scenario;
  const { step, save, copy } = assumptions;
  const every = Math.max(1, Math.round(scenario.interval / step));
  const start = startSeconds(assumptions, nodes * devices);
  const half = (assumptions.decide + assumptions.decideNode * nodes) / 2;
  const silence = silences(step, save, start);
  const places = placeNodes(parallel, nodes, devices);
  const plans = createPlans(places, replicas);
  const crew = createCrew({ nodes, spares, extra, devices }, assumptions.bring);
  const disks = createDisks(allShards(parallel, nodes * devices));
  const faults = createFaults(crew, profile, devices, nodes, scenario.seed);
  const clock = createClock(crew, faults, scenario.days * DAY);

  const outcome: Pick<Outcome, 'lostByCause' | 'failures' | 'ended'> = { lostByCause: {}, failures: {}, ended: {} };
  let history: FailedGeneration[] = [];
  let generations = 0;
  /** Iteration that training goes on from, and whether any counted as replicated. */
  let from = 0;
  let saved = false;
  /** Seconds in iterations, and of these what had to be trained again. */
  let [trained, lost] = [0, 0];
  let last: Cause | undefined;
  /** A generation has failed, and what it cost is not known yet. */
  let isOpen = false;
  let copies: { of: Copies; began: number } | undefined;

  const isOn = (name: string): boolean => !crew.isOff(name);
  const seenTo = (): number => clock.now + assumptions.repair * HOUR;

  /** A fault has its effect on the machine; whether it ends what the gang is at. */
  function strike({ kind, node, lasts }: Draw, running: boolean): boolean {
    if (kind.ofRanks && !running) return false;
    if (kind.takesDisk) disks.wipe(node);
    const isLost = kind.shows === 'lost';
    if (isLost) crew.switchOff(node, clock.now + (lasts ? assumptions.repair : assumptions.reboot) * HOUR);
    else if (lasts) crew.makeSick(node, isOfLinks(kind) ? 'link' : 'device', seenTo());
    if (crew.members.includes(node)) return running || isLost;
    if (!isLost) return false;
    copies?.of.loseSpare(node, clock.now - copies.began);
    crew.replace([node], clock.now, { seenTo: seenTo() });
    return false;
  }

  /** No ranks train: a machine that is lost meanwhile is replaced. */
  function wait(until: number, phase: Phase, isEnough: () => boolean = () => false): void {
    while (!clock.isOver() && clock.now < until && !isEnough()) {
      const fault = clock.advance(until, phase, isEnough);
      if (fault && strike(fault, false)) crew.replace([fault.node], clock.now, { seenTo: seenTo() });
    }
  }

  /** Ranks are up until then, or until a fault ends them. */
  function run(until: number, phase: Phase): Draw | undefined {
    for (;;) {
      const fault = clock.advance(until, phase);
      if (!fault || strike(fault, true)) return fault;
    }
  }

  /** Until the pipeline knows: machines that are lost meanwhile are lost with the first. */
  function notice(fault: Draw, seconds: number): Struck[] {
    const struck: Struck[] = [fault];
    const until = clock.now + seconds;
    for (let more; (more = run(until, 'detection'));) if (more.kind.shows === 'lost') struck.push(more);
    return struck;
  }

  const patience = ({ kind }: Draw, hung: number): number =>
    ({ failed: assumptions.detectExit, lost: assumptions.detectLost, hung })[kind.shows];

  /** What has to be trained again is charged to the last failure. */
  function goBackTo(iteration: number): void {
    const more = trained - lost - iteration * step;
    lost += more;
    if (last) outcome.lostByCause[last] = (outcome.lostByCause[last] ?? 0) + more;
    from = iteration;
    isOpen = false;
  }

  /** Somebody sees it after a while, and starts the run again. */
  function endRun(why: string): void {
    outcome.ended[why] = (outcome.ended[why] ?? 0) + 1;
    history = [];
    crew.release();
    wait(clock.now + assumptions.person * HOUR, 'person');
  }

  /** Nodes, data, checks and the checkpoint; whether a launch may follow. */
  function prepare(): boolean {
    if (!crew.isHeld()) wait(Infinity, 'waiting', () => crew.isHeld() || crew.lease(clock.now));
    wait(Infinity, 'waiting', () => crew.isFull() && crew.readyAt() <= clock.now);
    wait(clock.now + half, 'decision');
    if (clock.isOver() || !crew.isFull()) return false;
    const members = crew.members as string[];
    const unfit = [...members, ...crew.spares].filter((name) => crew.sick(name) === 'device');
    if (unfit.length > 0) {
      if (crew.spares.length > 0) crew.replace(unfit, clock.now, { seenTo: seenTo() });
      else endRun('a node is unfit, and there is no spare');
      return false;
    }
    const newest = disks.newest(isOn);
    if (!newest && saved) {
      endRun('no complete checkpoint');
      wait(Infinity, 'person', () => disks.newest(isOn) !== undefined || !crew.isExpecting());
      saved = disks.newest(isOn) !== undefined;
      return false;
    }
    goBackTo(newest?.iteration ?? 0);
    disks.setAside(from, new Set([...members, ...crew.spares]));
    if (newest)
      for (const [rank, name] of members.entries())
        for (const shard of places[rank]!.loads) disks.put(newest, shard, name);
    return true;
  }

  function generation(): void {
    const token = ++generations;
    const members = crew.members as string[];
    const [first, startedFrom] = [[...members], from];
    const unlinked = members.find((name) => crew.sick(name) === 'link');
    const up = unlinked === undefined ? start + (from > 0 ? assumptions.load : 0) : assumptions.linkUp;
    const early = run(clock.now + up, unlinked === undefined ? 'start-up' : 'detection');
    if (early) return afterFailure(first, startedFrom, undefined, notice(early, patience(early, silence.start)));
    if (clock.isOver()) return;
    if (unlinked !== undefined)
      return afterFailure(first, startedFrom, undefined, [{ node: unlinked, atLinkUp: true }]);

    const began = clock.now;
    const of = createCopies(plans(crew.spares.length), places, first, crew.spares, disks);
    copies = { of, began };
    const fault = run(Infinity, 'training');
    const seconds = clock.now - began;
    const delay = replicas > 0 ? copy : 0;
    const progress = progressAfter(seconds, { from, every, step, save, copy: delay });
    copies = undefined;
    for (const { iteration, at } of progress.saves)
      of.keep({ iteration, token }, at + delay <= seconds ? at + delay : undefined);
    if (fault?.kind.takesDisk) disks.wipe(fault.node);
    const copied = progress.saves.filter(({ iteration }) => iteration <= progress.replicated);
    disks.prune([startedFrom, ...copied.map(({ iteration }) => iteration)], KEEP);
    saved ||= progress.replicated > 0;
    trained += progress.trained;
    clock.spent.training -= progress.saving;
    clock.spent.saves += progress.saving;
    if (!fault) return;
    isOpen = true;
    const silent = progress.isSaving ? silence.save : silence.step;
    afterFailure(first, startedFrom, progress, notice(fault, patience(fault, silent)));
  }

  function afterFailure(
    members: string[],
    startedFrom: number,
    progress: Progress | undefined,
    struck: Struck[],
  ): void {
    wait(clock.now + half, 'decision');
    if (clock.isOver()) return;
    const ended = {
      ...{ generation: generations, startedFrom, at: clock.now * 1000 },
      ...{ endedAt: progress?.replicated ?? startedFrom, iteration: progress?.iteration ?? startedFrom },
    };
    const gang = members.map((name) => ({ name, address: name }));
    const seen = blame(membersOf(members, struck), { startedFrom, target: Infinity }, gang);
    const decision = decide(seen, ended, history, { limits, globalBatch: 1, spares: crew.spares.length });
    const { cause, culprit, why } = decision;
    history.push({ ...ended, cause, why, ...(culprit !== undefined && { culprit }) });
    outcome.failures[cause] = (outcome.failures[cause] ?? 0) + 1;
    last = cause;
    if (decision.action === 'ask') return endRun(`${cause}: a person is asked`);
    if (decision.action === 'fail') return endRun(limitOf(why));
    // One that was lost in recovery has been replaced already.
    const replaced =
      decision.action === 'replace' ? decision.replace.filter((name) => crew.members.includes(name)) : [];
    const hardware = decision.action === 'replace' && decision.hardware;
    if (replaced.length > 0) crew.replace(replaced, clock.now, { hardware, seenTo: seenTo() });
    wait(clock.now + decision.pauseMs / 1000, 'decision');
  }

  while (!clock.isOver()) if (prepare()) generation();
  if (isOpen) goBackTo(disks.newest(isOn)?.iteration ?? 0);
  clock.spent.training -= lost;
  clock.spent['lost work'] = lost;
  const { spent, nodeSeconds } = clock;
  return { seconds: clock.now, spent, nodeSeconds, generations, ...outcome };
}

/** Which limit of `decide` it was: the beginning of what it says. */
const limitOf = (why: string): string =>
  /recovery\.maxFailures/.test(why)
    ? 'recovery.maxFailures'
    : /in a row/.test(why)
      ? 'no newer checkpoint, several times in a row'
      : 'failures of one cause in a day';
