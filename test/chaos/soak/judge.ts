/** Puts together what a soak has shown so far: histories, logs and looks, and what they come to. */
import { SAVE_INTERVAL, type Case } from '../cases.js';
import { POOL, type Cluster } from '../cluster.js';
import { readHistories } from '../histories.js';
import { brokenOnTheWay, iterationsLost, type Evidence } from '../invariants.js';
import type { Played } from '../play.js';
import { createExecutions } from './executions.js';
import type { Page } from './page.js';
import { SERIES, type Runs } from './runs.js';
import { growths, problemsOf, TOLERANCES } from './verdict.js';
import type { Sample } from './watch.js';

export interface Judged {
  evidence: Evidence;
  page: Page;
}

const CASE: Case = { name: SERIES, steps: [], lost: 'since the checkpoint' };
/** The control host has the server's database, which keeps what is closed for the server's own retention. */
const NOT_JUDGED = ['control dataMb'];

/** @param samples grows while the soak lasts */
export function createJudge(cluster: Cluster, { played, failed }: Runs, samples: readonly Sample[], began: number) {
  const executionsOf = createExecutions(cluster.client);

  /** @param remains what was left at the end; nothing on the way there */
  return async (remains: string[]): Promise<Judged> => {
    const histories = await readHistories(cluster.client, played.runs, `pool-${POOL}`);
    const { all, taskFailures } = await executionsOf();
    const evidence = evidenceOf(played, remains, {
      ...histories,
      taskFailures: [...new Set([...histories.taskFailures, ...taskFailures])],
    });
    const grown = growths(samples, TOLERANCES, NOT_JUDGED);
    return {
      evidence,
      page: {
        minutes: (Date.now() - began) / 60_000,
        ...{ iteration: evidence.total, runs: played.runs.length, generations: histories.generations.length },
        ...{ lost: iterationsLost(evidence), growths: grown, executions: all },
        strikes: played.strikes.map(({ fault, node }) => `${fault} ${node}`),
        problems: problemsOf(grown, all, [...failed, ...brokenOnTheWay(evidence)]),
      },
    };
  };
}

/** Nobody knows the losses of so long an undisturbed run: what is trained again is held against the first time. */
function evidenceOf(
  played: Played,
  remains: string[],
  histories: Pick<Evidence, 'generations' | 'restores' | 'preparationsFailed' | 'taskFailures'>,
): Evidence {
  const of = <T extends object>(list: (recorder: Played['recorders'][number]) => T[]) =>
    played.recorders.flatMap((recorder, index) =>
      list(recorder).map((item) => ({ ...item, run: played.runs[index]! })),
    );
  const trained = of((recorder) => recorder.trained).sort((a, b) => a.at - b.at);
  return {
    ...{ ...histories, case: CASE, played, trained, remains, saveInterval: SAVE_INTERVAL },
    checkpoints: of((recorder) => recorder.checkpoints),
    expected: new Map([...trained].reverse().map(({ iteration, loss }) => [iteration, loss])),
    total: trained.reduce((most, { iteration }) => Math.max(most, iteration), 0),
  };
}
