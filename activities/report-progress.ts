/** Signals the generation how far training is: at the first iteration, once a minute, at saves and at the end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { log } from '@temporalio/activity';
import type { Pace, Recipient } from '../workflows/contract.js';
import type { TrainingProgress } from '../workflows/messages.js';
import { readJson, writeJson } from './atomic.js';
import type { NodeDeps } from './node-deps.js';
import { createStepTrend } from './step-trend.js';
import type { Iteration } from './training-log.js';

export interface ProgressReport {
  add(iteration: Iteration): void;
  /** A save has ended: of this iteration, or of the last one that was added. */
  saved(iteration?: number): void;
  /** Sends when something is due; `now` when there is a reason to, and something new. Does not wait for the server. */
  send(now: boolean, pace?: Pace): void;
  /** Waits for the last report, for a bounded time. */
  close(pace?: Pace): Promise<void>;
}

const EVERY = 60_000;
const POINTS = 60;
const LAST_WORD = 10_000;

export interface ReportOptions {
  to: Recipient;
  token: number;
  /** Remembers over watchers what was reported. */
  path: string;
  signal: NodeDeps['signal'];
}

export async function openProgressReport({ to, token, path, signal }: ReportOptions): Promise<ProgressReport> {
  let reported = (await readJson<{ iteration: number }>(path))?.iteration ?? 0;
  let last: Iteration | undefined;
  let saved: number | undefined;
  let points: TrainingProgress['points'] = [];
  let pace: Pace | undefined;
  const trend = createStepTrend();
  let sentAt = -Infinity;
  let sending: Promise<void> | undefined;

  async function report(): Promise<void> {
    const { iteration, loss, msPerIteration } = last!;
    const sent = points;
    points = [];
    sentAt = performance.now();
    try {
      const payload: TrainingProgress = {
        token,
        iteration,
        ...(loss !== undefined && { loss }),
        ...(msPerIteration !== undefined && { secondsPerIteration: msPerIteration / 1_000 }),
        ...(saved !== undefined && { saved }),
        points: thinned(sent),
        ...(pace && { pace }),
        ...(trend.slow() && { slow: trend.slow()! }),
      };
      await signal(to, 'trainingProgress', payload);
      reported = iteration;
      await writeJson(path, { iteration });
    } catch (error) {
      points = [...sent, ...points];
      log.warn('progress was not taken', { error: String(error) });
    }
  }

  const send = (now: boolean, latest?: Pace): void => {
    pace = latest ?? pace;
    const due = now || performance.now() - sentAt >= EVERY;
    if (sending || !due || !last || last.iteration <= reported) return;
    sending = report().finally(() => (sending = undefined));
  };
  const settled = () => Promise.race([sending ?? Promise.resolve(), sleep(LAST_WORD, undefined, { ref: false })]);

  return {
    send,
    saved: (iteration) => void (saved = iteration ?? last?.iteration ?? saved),
    add(iteration) {
      if (iteration.msPerIteration !== undefined) trend.add(iteration.iteration, iteration.msPerIteration);
      if (iteration.iteration <= reported) return;
      last = iteration;
      if (iteration.loss !== undefined) points.push([iteration.iteration, iteration.loss]);
      // A server that is away for days must not fill the memory.
      if (points.length > 100 * POINTS) points = points.filter((_, index) => index % 2 === 0);
    },
    async close(latest) {
      await settled();
      send(true, latest);
      await settled();
    },
  };
}

/** Evenly spread, the last one among them. */
function thinned(points: TrainingProgress['points']): TrainingProgress['points'] {
  if (points.length <= POINTS) return points;
  return Array.from({ length: POINTS }, (_, index) => points[Math.ceil(((index + 1) * points.length) / POINTS) - 1]!);
}
