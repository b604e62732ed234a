/** What was asked for and needs ranks that have ended: nodes that leave, a pause, other settings, an approval. */
import { ApplicationFailure, condition } from '@temporalio/workflow';
import { finish, leavingNow, wantedEnding } from './conversation.js';
import { milliseconds } from './duration.js';
import type { GenerationResult } from './generation-progress.js';
import { applySettings } from './pause-settings.js';
import { AT_STOP, type Gate } from './requests.js';
import { oweToFewness } from './ledger.js';
import { gangOf, note, show, waitingOf, type Run } from './run-generation.js';
import { enterPhase } from './status.js';

/** Returns when a launch may be prepared. */
export async function betweenGenerations(run: Run): Promise<void> {
  // That may wait for nodes.
  if (leavingNow(run).length > 0 && run.state.phase !== 'nodes') enterPhase(run.state, 'nodes', Date.now());
  await moveNodes(run);
  growBack(run);
  if (!run.wishes.pause) return;
  await stayPaused(run);
  if (run.crew.members.length === 0) {
    enterPhase(run.state, 'nodes', Date.now());
    await run.crew.lease();
  }
  // What was asked for meanwhile.
  await betweenGenerations(run);
}

/** Whether there is something to do before a launch that is being prepared. */
export const isInterrupted = (run: Run): boolean => wantedEnding(run) !== undefined;

/** A generation ended because it was asked to. */
export function afterStop(run: Run, generation: number, { replicated, members }: GenerationResult): void {
  const trained = Math.max(0, ...members.map(({ evidence }) => evidence?.lastIteration ?? 0));
  const unsaved =
    trained > replicated
      ? `; it had trained to iteration ${trained}, and did not save that within recovery.stopGrace`
      : '';
  const how = `generation ${generation} ended at the checkpoint of iteration ${replicated}${unsaved}`;
  note(run, how);
  ended(run, how);
}

/** What could only be done while a generation trained is over with it, however it ended. */
export function ended(run: Run, how: string): void {
  delete run.wishes.save;
  finish(run, 'checkpointNow', how);
}

/** Whoever was to leave has left with all others. */
export async function giveAllBack(run: Run): Promise<void> {
  await run.crew.release();
  finish(run, 'addSpare', 'is asked for with the next nodes');
  await moveNodes(run);
}

async function moveNodes(run: Run): Promise<void> {
  const { wishes, crew } = run;
  const moves = leavingNow(run);
  const leaving = moves.map(({ node }) => node);
  if (leaving.length === 0) return;
  run.wishes = { ...wishes, moves: wishes.moves.filter(({ node }) => !leaving.includes(node)) };
  await crew.move(moves);
  const after = crew.members.length > 0 ? `the gang is ${gangOf(run)}` : 'so did all others';
  for (const node of leaving) {
    finish(run, 'replaceNode', after, node);
    finish(run, 'drainNode', after, node);
  }
  note(run, `${leaving.join(', ')} left: ${after}`);
}

/** Nodes that the gang lacked have come. */
function growBack(run: Run): void {
  const { state, crew } = run;
  const before = crew.members.map(({ name }) => name);
  if (!crew.grow()) return;
  const joined = crew.members.filter(({ name }) => !before.includes(name));
  oweToFewness(state);
  note(run, `${joined.map(({ name }) => name).join(', ')} joins: the gang is ${gangOf(run)}`);
}

async function stayPaused(run: Run): Promise<void> {
  const { state, crew } = run;
  enterPhase(state, 'paused', Date.now());
  state.waitsFor = 'resumeTraining';
  note(run, `paused at iteration ${state.replicated}`);
  finish(run, 'pauseTraining', `paused at iteration ${state.replicated}`);
  finish(run, 'resumeTraining', 'paused again before the launch');
  let pause = run.wishes.pause!;
  while (run.wishes.pause) {
    pause = run.wishes.pause;
    if (pause.nodes === 'free' && crew.members.length > 0) {
      await giveAllBack(run);
      // Others may train the series on them meanwhile.
      run.empty.clear();
      note(run, 'the nodes are given back');
      continue;
    }
    await condition(() => !run.wishes.pause || (run.wishes.pause.nodes === 'free' && crew.members.length > 0));
    finish(run, 'pauseTraining', `paused at iteration ${state.replicated}`);
  }
  delete state.waitsFor;
  const { settings, ...wishes } = run.wishes;
  run.wishes = wishes;
  if (settings) await applySettings(run, settings, pause);
  note(run, 'goes on');
}

/** Waits at the gate before training that the run file sets, once. */
export async function passGate(run: Run): Promise<void> {
  const verdict = await verdictAt(run, 'train');
  if (verdict?.decision === 'stop')
    throw ApplicationFailure.nonRetryable(`the run was stopped at the gate "train" ${verdict.who}`, 'NotApproved');
}

/** The same before the export; without a model the run has trained all the same, and has not failed. */
export const mayExport = async (run: Run): Promise<boolean> => (await verdictAt(run, 'export'))?.decision !== 'stop';

/** Nothing where no such gate is set, or it is passed already. */
async function verdictAt(run: Run, gate: Gate): Promise<{ decision: 'proceed' | 'stop'; who: string } | undefined> {
  const { spec, state } = run;
  const set = spec.gates[gate];
  if (!set || run.passed.includes(gate)) return undefined;
  if (run.wishes.gates[gate] === undefined) {
    run.atGate = gate;
    enterPhase(state, 'approval', Date.now());
    const until = new Date(Date.now() + milliseconds(set.timeout)).toISOString().slice(0, 16).replace('T', ' ');
    const otherwise = set.default === 'proceed' ? 'goes on' : AT_STOP[gate];
    waitingOf(run)(`somebody to approve "${gate}"; without a word the run ${otherwise} at ${until} UTC`);
    await condition(() => run.wishes.gates[gate] !== undefined, set.timeout);
    waitingOf(run)(undefined);
    delete run.atGate;
  }
  const decision = run.wishes.gates[gate] ?? set.default;
  const by = state.requests.findLast(({ update, about, ended }) => update === 'approve' && about === gate && !ended);
  const who = by ? `by ${by.who}: ${by.why}` : `by nobody in ${set.timeout}`;
  finish(run, 'approve', decision, gate);
  run.passed.push(gate);
  show(run);
  note(run, `gate "${gate}" ${decision === 'stop' ? 'closed' : 'passed'} ${who}`);
  return { decision, who };
}
