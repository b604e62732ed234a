/** What must hold after every case, whatever the fault was. Pure: evidence in, broken invariants out. */
import { inAll } from '../../workflows/retention.js';
import { missedBars, paceOf, type Pace } from './bars.js';
import type { Case } from './cases.js';
import type { GenerationHistory, Histories } from './histories.js';
import type { Played } from './play.js';
import type { Trained } from './recorder.js';

export interface Evidence extends Histories {
  case: Case;
  played: Pick<Played, 'strikes' | 'ended' | 'runs'>;
  /** As printed by the ranks, of all runs of the case, in the order in which it was seen. */
  trained: (Trained & { run: string })[];
  checkpoints: { run: string; node: string; generation: number; what: 'saved' | 'loaded'; iteration: number }[];
  /** Loss of each iteration of the undisturbed run. */
  expected: ReadonlyMap<number, string>;
  /** Iterations of the series. */
  total: number;
  saveInterval: number;
  /** What was found wrong on disks, among processes and in the pool. */
  remains: string[];
}

export interface Row {
  name: string;
  /** Seconds from the first fault: until something of it was seen. */
  detectedIn: number | undefined;
  resumedIn: number | undefined;
  pace: Pace;
  iterationsLost: number;
  generations: number;
  seconds: number;
  problems: string[];
}

export function brokenInvariants(evidence: Evidence): string[] {
  return [...ended(evidence), ...brokenOnTheWay(evidence)];
}

/** What must hold however far the runs have come. */
export function brokenOnTheWay(evidence: Evidence): string[] {
  return [
    ...sameLosses(evidence),
    ...asManyNodes(evidence),
    ...oneGenerationAtATime(evidence),
    ...resumedFromWhole(evidence),
    ...lostNoMore(evidence),
    ...copiedApart(evidence),
    ...evidence.taskFailures,
    ...evidence.remains,
  ];
}

function ended({ case: { fails }, played, total }: Evidence): string[] {
  if (played.ended === 'never') return ['the run did not end'];
  if ('failure' in played.ended)
    return fails !== undefined && played.ended.type === fails ? [] : [`the run failed: ${played.ended.failure}`];
  if (fails !== undefined) return [`the run was to fail with ${fails}`];
  const reached = played.ended.result['iteration'];
  return reached === total ? [] : [`the run ended at iteration ${String(reached)} of ${total}`];
}

/** Every iteration, also one that is trained for the second time, has the loss and norm of the undisturbed run. */
function sameLosses({ trained, expected, total, case: { fails, within } }: Evidence): string[] {
  const wrong = trained.filter(({ iteration, loss }) => !isSame(loss, expected.get(iteration), within));
  const seen = new Set(trained.map(({ iteration }) => iteration));
  const missing = Array.from({ length: total }, (_, index) => index + 1).filter((iteration) => !seen.has(iteration));
  return [
    ...wrong
      .slice(0, 3)
      .map(
        ({ generation, iteration, loss }) =>
          `generation ${generation} trained iteration ${iteration} to ${loss}, undisturbed it is ${expected.get(iteration)}`,
      ),
    ...(missing.length && !fails ? [`no rank printed iteration ${missing.slice(0, 5).join(', ')}`] : []),
  ];
}

/** Of norms three decimals are printed: one of them may be rounded otherwise. */
const NORM_WITHIN = 0.0015;

/** Loss and norm as printed: the very digits, unless the case says how far losses may be apart. */
function isSame(printed: string, undisturbed: string | undefined, within: number | undefined): boolean {
  if (printed === undisturbed || within === undefined || undisturbed === undefined) return printed === undisturbed;
  const [loss, norm] = printed.split(' ').map(Number);
  const [otherLoss, otherNorm] = undisturbed.split(' ').map(Number);
  return Math.abs(loss! - otherLoss!) <= within && Math.abs(norm! - otherNorm!) <= NORM_WITHIN;
}

function asManyNodes({ case: { gangs }, generations }: Evidence): string[] {
  const sizes = generations.map(({ input }) => input.nodes.length);
  return gangs === undefined || gangs.join() === sizes.join()
    ? []
    : [`the generations had ${sizes.join(', ')} nodes, and were to have ${gangs.join(', ')}`];
}

/** In the order of time, tokens only rise: what an older generation trains after a newer one began is lost work, or worse. */
function oneGenerationAtATime({ trained }: Evidence): string[] {
  let newest: Trained | undefined;
  for (const now of trained) {
    if (newest && now.token < newest.token)
      return [
        `generation ${now.generation} on ${now.node} trained iteration ${now.iteration} after generation ${newest.generation} had trained ${newest.iteration}`,
      ];
    newest = now;
  }
  return [];
}

function resumedFromWhole({ generations, restores, checkpoints, trained }: Evidence): string[] {
  return generations.flatMap((generation) => {
    const { run, input, startedAt } = generation;
    const name = `generation ${generation.generation} of ${run}`;
    const from = input.startedFrom;
    const first = trained.find((t) => t.run === run && t.generation === generation.generation)?.iteration;
    const wrongStart =
      first !== undefined && first !== from + 1
        ? [`${name} was to go on from iteration ${from} and began with ${first}`]
        : [];
    if (from === 0) return wrongStart;
    const isEarlier = (other: { run: string; generation: number }): boolean =>
      generations.findIndex((g) => g.run === other.run && g.generation === other.generation) <
      generations.indexOf(generation);
    const saved = checkpoints.some((c) => c.what === 'saved' && c.iteration === from && isEarlier(c));
    const loaded = checkpoints.filter(
      (c) => c.what === 'loaded' && c.run === run && c.generation === generation.generation,
    );
    const proven = input.nodes.filter(
      ({ name: node }) =>
        !restores.some((r) => r.run === run && r.node === node && r.iteration === from && r.at <= startedAt),
    );
    return [
      ...wrongStart,
      ...(saved ? [] : [`${name} went on from iteration ${from}, which no log calls saved`]),
      ...(proven.length
        ? [`${name} began before ${proven.map((n) => n.name).join(', ')} had proven iteration ${from}`]
        : []),
      ...loaded
        .filter(({ iteration }) => iteration !== from)
        .map(({ iteration, node }) => `${name} was to load iteration ${from}, ${node} loaded ${iteration}`),
    ];
  });
}

function lostNoMore(evidence: Evidence): string[] {
  const { case: case_, generations, trained } = evidence;
  const problems: string[] = [];
  if (case_.lost === 'nothing') {
    const perRun = new Map<string, number>();
    for (const { run } of generations) perRun.set(run, (perRun.get(run) ?? 0) + 1);
    for (const [run, count] of perRun) if (count > 1) problems.push(`${run} took ${count} generations, one was to do`);
    const twice = iterationsLost(evidence);
    if (twice > 0) problems.push(`${twice} iterations were trained twice, none was to be`);
  }
  for (const [index, next] of generations.entries()) {
    const before = generations[index - 1];
    if (!before) continue;
    const copied = newestCopied(before);
    if (next.input.startedFrom < copied && !isSpoilt(evidence))
      problems.push(
        `generation ${next.generation} began at ${next.input.startedFrom}, though iteration ${copied} was copied everywhere`,
      );
    // Independent of what the nodes reported: a save that was over for a while is copied by then.
    const own = trained.filter((t) => t.run === before.run && t.generation === before.generation);
    const last = Math.min(own.at(-1)?.iteration ?? 0, copiersGoneAt(evidence, before));
    const due = Math.floor((last - COPIED_WITHIN) / evidence.saveInterval) * evidence.saveInterval;
    if (next.input.startedFrom < due && !isSpoilt(evidence))
      problems.push(
        `generation ${next.generation} began at ${next.input.startedFrom}, though ${last} iterations were trained and ${due} was long saved`,
      );
  }
  return problems;
}

/** A copy on the storage of its writer is none. */
function copiedApart({ case: { sharing = [] }, generations }: Evidence): string[] {
  const isShared = (node: string) => sharing.includes(node);
  return generations.flatMap(({ run, generation, input }) =>
    Object.entries(input.copies).flatMap(([node, copies]) =>
      copies
        .filter(({ from }) => isShared(node) && isShared(from.name))
        .map(
          ({ shard, from }) =>
            `generation ${generation} of ${run} copies ${shard} from ${from.name} to ${node}, whose storage is one`,
        ),
    ),
  );
}

/** Iterations that are trained while a checkpoint of this size is copied, amply. */
const COPIED_WITHIN = 8;

/** Nobody copies what a node saves once its agent is gone for good, while its ranks train on for the agent's grace. */
const copiersGoneAt = (
  { played: { strikes } }: Evidence,
  { input, startedAt, closedAt = Infinity }: GenerationHistory,
) =>
  Math.min(
    ...strikes
      .filter(({ fault, at }) => fault === 'killAgent' && at >= startedAt && at <= closedAt)
      .filter(({ node }) => [...input.nodes, ...input.spares].some(({ name }) => name === node))
      .filter(({ node, at }) => !strikes.some((s) => s.fault === 'startAgent' && s.node === node && s.at >= at))
      .map(({ iteration }) => iteration),
  );

/** A case that damages checkpoints may cost what it damages. */
const isSpoilt = ({ played }: Evidence): boolean =>
  played.strikes.some(({ fault }) => fault === 'flipByte' || fault === 'cutShort');

/** The newest iteration that every node with a part in it had sealed and copied, none leaving it out, by their own words. */
export function newestCopied({ input, copied }: GenerationHistory): number {
  const all = [...input.nodes, ...input.spares];
  const expected = all.filter(
    ({ name }, rank) => (input.writes[rank] ?? []).length > 0 || (input.copies[name] ?? []).length > 0,
  );
  const whole = inAll(expected.map(({ name }) => copied.filter((c) => c.task === name).map((c) => c.iteration)));
  return Math.max(input.startedFrom, ...whole);
}

/** Iterations that were trained and had to be trained again. */
export const iterationsLost = ({ trained }: Pick<Evidence, 'trained'>): number =>
  trained.length - new Set(trained.map(({ iteration }) => iteration)).size;

export function rowOf(evidence: Evidence, seconds: number, slack?: number): Row {
  const { case: case_, generations, trained, played } = evidence;
  const struck = played.strikes[0]?.at;
  const failed = generations.find((g) => g.firstFailure && struck !== undefined && g.firstFailure.at >= struck);
  const next = failed && trained.find((t) => t.token > failed.input.token);
  const since = (at: number | undefined) =>
    at === undefined || struck === undefined ? undefined : (at - struck) / 1000;
  const pace = paceOf(evidence);
  return {
    name: case_.name,
    detectedIn: since(failed?.firstFailure?.at),
    resumedIn: since(next?.at),
    pace,
    iterationsLost: iterationsLost(evidence),
    generations: generations.length,
    seconds,
    problems: [...brokenInvariants(evidence), ...missedBars(evidence, pace, slack)],
  };
}
