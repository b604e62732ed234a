/** The page that remains of a run, and the state that it is made from. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderReport } from '../../activities/report-page.js';
import { createWriteReport } from '../../activities/write-report.js';
import {
  addEvent,
  addPoints,
  describeRun,
  enterPhase,
  newState,
  type PretrainResult,
  type RunState,
} from '../../workflows/status.js';
import { noteTrained } from '../../workflows/ledger.js';
import { tempDir } from '../support/temp-dir.js';

const result: PretrainResult = {
  ...{ series: 's', iteration: 4, total: 4, loss: 1.5, generations: 2, failures: 1 },
  message: 'trained to iteration 4 of 4',
};

function finished(): RunState {
  const state = { ...newState('run', 's', 4), nodes: ['n1', 'n3'], replicated: 4 };
  enterPhase(state, 'check', 1000);
  state.generation = 1;
  enterPhase(state, 'train', 3000, 0);
  noteTrained(state, 7000, { iteration: 3, secondsPerIteration: 1 });
  state.generation = 2;
  enterPhase(state, 'train', 8000, 2);
  noteTrained(state, 9000, { iteration: 4, secondsPerIteration: 0.5 });
  enterPhase(state, 'done', 9000);
  addPoints(state, [
    [1, 4],
    [2, 3],
    [3, 2.5],
  ]);
  addEvent(state, 8000, '<script>alert("n2 & n3")</script>');
  state.failures.push({
    generation: 1,
    startedFrom: 0,
    endedAt: 2,
    culprit: 'n2',
    cause: 'node',
    iteration: 3,
    at: 7500,
    why: 'n2 did not answer',
  });
  return state;
}

describe('the report', () => {
  it('is one file that asks no network for anything', () => {
    const page = renderReport(finished(), result);
    expect(page).not.toMatch(/(src|href)=["']|@import|url\(|fetch\(/);
    expect(page).toContain('<div class="chart" id="loss">');
    expect(page).toContain('"points":[[1,4],[2,3],[3,2.5]],"marks":[2]');
  });

  it('shows no text of a run as markup, nor lets it end a script', () => {
    const state = finished();
    state.curve = [['</script><b>' as never, 1], [2, 2]]; // prettier-ignore
    const page = renderReport(state, result);
    expect(page).toContain('&#60;script&#62;alert(&#34;n2 &#38; n3&#34;)');
    expect(page).not.toContain('alert("n2');
    expect(page).not.toContain('</script><b>');
  });

  it('shows what the texts of its dataset are like', () => {
    const key = { key: '<b>', documents: 1033, tokens: 2_120_987, lengths: [2, 0, 0, 0, 1028], withoutTokens: 3 };
    const state = finished();
    state.dataset = {
      keys: [
        {
          ...key,
          longest: [{ file: 'a/<i>.jsonl', row: 7, tokens: 31 }],
          pieces: { tokens: 2121, unknown: 0, characters: { Tibetan: 1200 } },
          repeats: { documents: 13, exact: false },
        },
      ],
    };
    const page = renderReport(state, result);
    expect(page).toContain('<td>&#60;b&#62;</td><td>1,033</td><td>2,120,987</td><td>0.10 %</td><td>about 1.3 %</td>');
    expect(page).toContain('<td>0</td><td>3</td>');
    expect(page).toContain('<td>16–31</td><td>1,028</td><td><meter value="1028" max="1033"></meter> 99.5 %</td>');
    expect(page).toContain('<td>a/&#60;i&#62;.jsonl</td><td>7</td><td>31</td>');
    expect(page).toContain('<td>Tibetan</td><td>1,200</td>');
    expect(describeRun(state)).toContain(
      '\ndataset <b>: 1,033 documents, 2,120,987 tokens · longest 31 · 0.10 % spelled in parts of characters · about 1.3 % repeated\n',
    );
  });

  it('keeps what was asked, by whom, why, and what came of it', () => {
    const state = finished();
    const asked = { id: 1, at: 0, update: 'pauseTraining' as const, who: 'ann', why: 'fans', answer: 'it pauses' };
    state.requests = [
      { ...asked, ended: { at: 1, how: 'paused at iteration 2' } },
      { ...asked, id: 2 },
    ];
    const row = (how: string) => `<td>ann</td><td>pauseTraining</td><td>fans</td><td>it pauses</td><td>${how}</td>`;
    const page = renderReport(state, result);
    expect(page).toContain(row('paused at iteration 2'));
    expect(page).toContain(row('is pending'));
  });

  it('adds up the node-seconds of each phase and cause, and says what a cause cost', () => {
    const page = renderReport(finished(), result);
    for (const row of [
      '<td>check</td><td>work</td><td>4.0</td><td>25 %</td>',
      '<td>start-up</td><td>work</td><td>2.0</td><td>13 %</td>',
      '<td>train</td><td>work</td><td>6.0</td><td>38 %</td>',
      '<td>train again</td><td>node</td><td>2.0</td><td>13 %</td>',
      '<td>notice and stop</td><td>node</td><td>2.0</td><td>13 %</td>',
      "37.5 % of the run's time went into iterations that count",
      '<td>node</td><td>1</td><td>1</td><td>0.5</td>',
    ])
      expect(page).toContain(row);
  });

  it('of a run that trained nothing is a page all the same', () => {
    expect(renderReport(newState('run', 's', 4), result)).toContain('no loss was reported');
  });

  it('is named after its run', async () => {
    const dir = await tempDir();
    const { path } = await createWriteReport(dir)({ run: 'run', state: finished(), result });
    expect(path).toBe(join(dir, 'run.html'));
    expect(await readFile(path, 'utf8')).toContain('<title>run</title>');
  });
});

describe('the loss curve', () => {
  it('goes on from the checkpoint when iterations are trained again', () => {
    const state = finished();
    addPoints(state, [[2, 2.9]]);
    expect(state.curve).toEqual([
      [1, 4],
      [2, 2.9],
    ]);
  });

  it('stays small however long a run is, and keeps its last point', () => {
    const state = newState('run', 's', 1);
    for (let iteration = 1; iteration <= 5000; iteration++) addPoints(state, [[iteration, 1 / iteration]]);
    expect(state.curve.length).toBeLessThanOrEqual(600);
    expect(state.curve.at(-1)![0]).toBe(5000);
  });
});

it('the status page says where a run is and how long it will take', () => {
  const state: RunState = {
    ...newState('run', 's', 200),
    ...{ phase: 'train', generation: 2, iteration: 100, loss: 2.5, secondsPerIteration: 3, replicated: 90 },
    ...{ nodes: ['n1', 'n2'], spares: ['n3'], child: 'run/gen-2' },
  };
  expect(describeRun(state)).toContain('iteration 100 of 200 · loss 2.5000 · about 5 min left');
  expect(describeRun(state)).toContain('checkpoint: iteration 90, complete\n');
  expect(describeRun(state)).toContain('generation 2 (run/gen-2) · nodes n1, n2 · spares n3');
});
