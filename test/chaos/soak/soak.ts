/** `npm run chaos -- --soak 30m`: one series, run after run, with faults at random for the time given. */
import { appendFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '../../../infra/demo/part.js';
import { SAVE_INTERVAL } from '../cases.js';
import { keepEvidence } from '../check.js';
import { startCluster, type Hardware } from '../cluster.js';
import { orphans, poolLeftovers, wrongFiles } from '../remains.js';
import { createJudge, type Judged } from './judge.js';
import { describePage } from './page.js';
import { openReleases } from './releases.js';
import { createRuns, LEASE_SECONDS, type Runs } from './runs.js';
import { soakSchedule } from './schedule.js';
import type { Site } from './strike.js';
import { strikeAll } from './strike-all.js';
import { look, type Sample } from './watch.js';

/** Iterations of a run at most, some ten minutes of them; a third of the soak where that is less. */
const LONGEST_RUN = 2_400;
const SECONDS_AN_ITERATION = 0.25;
/** Iterations of the last run: what must be trained after all faults, where everything is whole again. */
const LAST_RUN = 2 * SAVE_INTERVAL;
const LOOK_EVERY_MS = 10_000;
const PAGE_EVERY_MS = 180_000;
/** How long what was told to end may take to, and the last run. */
const ENDS_WITHIN_MS = 600_000;

const CANCEL_EVERY_MS = 5_000;

export interface SoakOptions {
  seconds: number;
  seed: number;
  /** Directory for pages, looks and evidence, written as they come. */
  results: string;
  say(text: string): void;
}

/** @returns what is shown at the end, and how many faults found nothing to strike */
export async function soak(
  hardware: Hardware,
  { seconds, seed, results, say }: SoakOptions,
): Promise<{ judged: Judged; missed: string[] }> {
  await mkdir(results, { recursive: true });
  const site = await openSite(hardware);
  const { cluster } = site;
  const began = Date.now();
  const iterations = Math.ceil(seconds / SECONDS_AN_ITERATION);
  const runs = createRuns(cluster, 4 * iterations + LONGEST_RUN);
  const samples: Sample[] = [];
  const judge = createJudge(cluster, runs, samples, began);
  let over = false;

  async function show({ page }: Judged): Promise<void> {
    const text = describePage(page);
    say(text);
    await appendFile(join(results, 'soak.txt'), `${text}\n\n`);
  }

  async function train(): Promise<void> {
    while (!over) await runs.train(Math.max(LAST_RUN, Math.min(LONGEST_RUN, Math.round(iterations / 3))));
  }

  async function lookOn(): Promise<void> {
    for (let shown = Date.now(); !over; await pause(LOOK_EVERY_MS)) {
      const seen = await look(cluster, (Date.now() - began) / 3_600_000);
      samples.push(...seen);
      await appendFile(join(results, 'looks.jsonl'), seen.map((sample) => `${JSON.stringify(sample)}\n`).join(''));
      if (Date.now() - shown < PAGE_EVERY_MS) continue;
      shown = Date.now();
      await judge([]).then(show, (error: unknown) => say(`no page now: ${String(error)}`));
    }
  }

  try {
    const [training, looking] = [train(), lookOn()];
    const missed = await strikeAll(site, runs, soakSchedule(seconds, seed), seconds);
    await pause(Math.max(0, began + seconds * 1000 - Date.now()));
    over = true;
    await cluster.heal();
    await cluster.rejoin();
    await endByCancel(runs, training);
    await looking;
    const late = () => void runs.failed.push('the run after all faults did not end');
    await within(ENDS_WITHIN_MS, runs.train(LAST_RUN), late);
    const remains = [...(await orphans(cluster, LEASE_SECONDS)), ...(await poolLeftovers(cluster))];
    const { evidence } = await judge(remains);
    const { played } = runs;
    if (played.ended !== 'never' && 'result' in played.ended)
      remains.push(...(await wrongFiles(cluster, played, evidence.generations.at(-1))));
    const judged = await judge(remains);
    await show(judged);
    const { problems } = judged.page;
    if (problems.length) await keepEvidence(cluster, judged.evidence, problems, join(results, 'evidence'));
    return { judged, missed };
  } finally {
    over = true;
    await cluster.stop();
  }
}

async function openSite(hardware: Hardware): Promise<Site> {
  const releases = await openReleases(join(hardware.dir, 'releases'));
  const clockOf = (host: string): string => join(hardware.dir, `clock-${host}`);
  const shim = new URL('clock-shim.mjs', import.meta.url).href;
  const cluster = await startCluster(hardware, false, {
    workers: {
      main: releases.main,
      env: ({ name }) => ({ NODE_OPTIONS: `--import ${shim}`, CHAOS_CLOCK: clockOf(name) }),
    },
  });
  return { cluster, releases, clockOf };
}

/** What is cancelled saves and ends, and has not failed. */
async function endByCancel({ current, played, failed }: Runs, training: Promise<void>): Promise<void> {
  const failures = failed.length;
  // Again and again: the run may just have ended, and the next one be about to begin.
  const cancel = (): void =>
    void current()
      ?.handle.cancel()
      .catch(() => undefined);
  const asking = setInterval(cancel, CANCEL_EVERY_MS);
  cancel();
  const late = () => void failed.push(`${played.runs.at(-1)} did not end when it was cancelled`);
  await within(ENDS_WITHIN_MS, training, late).finally(() => clearInterval(asking));
  const { ended } = played;
  if (ended !== 'never' && 'failure' in ended && ended.type === 'CancelledFailure') failed.splice(failures);
}

/** What does not end in time is told, and judged all the same. */
async function within(ms: number, waiting: Promise<unknown>, otherwise: () => void): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      otherwise();
      resolve();
    }, ms);
  });
  await Promise.race([waiting, late]).finally(() => clearTimeout(timer));
}
