/** A finished run as one HTML page that needs no network: the dashboard's page of it, frozen. */
import type { PretrainResult, RunState } from '../workflows/status.js';
import { htmlPage } from './html-page.js';
import { runMain } from './run-main.js';

export function renderReport(state: RunState, result: PretrainResult): string {
  const end = Math.max(0, ...state.phases.map(({ from, to = from }) => to));
  return htmlPage({ title: state.run, main: runMain(state, result.message, end) });
}
