/**
 * What people ask of a run: checked before it is on record, answered at once from the run's own state, done when
 * its time has come. Handlers are set before anything is waited for, so that none is missed.
 */
import { ApplicationFailure, CancellationScope, setHandler } from '@temporalio/workflow';
import { answerTo, type View } from './answers.js';
import { defineRequest, nodeWanted } from './messages.js';
import { onSignal } from './on-signal.js';
import { readRunRequest, RUN_UPDATES, type RunRequest } from './requests.js';
import { note, show, type Run } from './run-generation.js';
import { endingOf, missing, readyMoves, type Asked } from './wishes.js';

export function converse(run: Run): void {
  for (const [name, description] of Object.entries(RUN_UPDATES) as [RunRequest['name'], string][])
    setHandler(defineRequest(name), (input) => handle(run, ...checked(run, name, input)), {
      validator: (input) => void checked(run, name, input),
      description,
    });
  // The pool has cordoned the node by itself; a run that does not have it any more has nothing to do.
  onSignal(nodeWanted, ({ node, who, why }) => {
    const request: RunRequest = { name: 'drainNode', at: 'checkpoint', node, who, why };
    const view = viewOf(run);
    const answer = answerTo(request, view);
    if ('say' in answer) accept(run, request, answer);
    else if ([...view.members, ...view.spares].includes(node))
      note(run, `${who} drains ${node}: ${why}. It is given back when the run ends: ${answer.refuse}`);
  });
}

type Accepted = Extract<ReturnType<typeof answerTo>, { say: string }>;

function checked(run: Run, name: RunRequest['name'], input: unknown): [RunRequest, Accepted] {
  const read = readRunRequest(name, input);
  if ('wrong' in read) throw ApplicationFailure.nonRetryable(read.wrong, 'InvalidInput');
  const answer = answerTo(read.request, viewOf(run));
  if ('refuse' in answer) throw ApplicationFailure.nonRetryable(`${name}: ${answer.refuse}`, 'InvalidInput');
  return [read.request, answer];
}

function viewOf({ state, spec, file, crew, wishes, passed, atGate }: Run): View {
  return {
    ...{ state, file, wishes },
    saveInterval: spec.train.saveInterval,
    stopGrace: spec.recovery.stopGrace,
    members: crew.members.map(({ name }) => name),
    spares: [...crew.spares, ...crew.newcomers].map(({ name }) => name),
    gates: Object.keys(spec.gates).map((name) => ({ name, passed: passed.some((gate) => gate === name) })),
    ...(atGate && { atGate }),
    ...(CancellationScope.current().consideredCancelled && { isCancelled: true as const }),
  };
}

function handle(run: Run, request: RunRequest, answer: Accepted): string {
  if (request.name === 'drainNode') run.crew.cordon({ node: request.node, who: request.who, why: request.why });
  return accept(run, request, answer);
}

const MAX_REQUESTS = 50;

function accept(run: Run, request: RunRequest, { say, wishes }: Accepted): string {
  const { state, crew } = run;
  const { name, who, why } = request;
  const about = 'node' in request ? request.node : 'gate' in request ? request.gate : undefined;
  const id = (state.requests.at(-1)?.id ?? 0) + 1;
  const asked: Asked = { id, at: Date.now(), update: name, who, why, answer: say, ...(about && { about }) };
  state.requests = [...state.requests, asked].slice(-MAX_REQUESTS);
  run.wishes = wishes;
  if (name === 'addSpare') {
    changeSpares(run, run.spec.cluster.spares + request.count);
    // Who holds a spare and waits for the rest would come before all others, and keep it from them meanwhile.
    if (crew.members.length > 0) crew.seek(request.count);
  }
  if (name === 'resumeTraining') {
    finish(run, 'pauseTraining', state.phase === 'paused' ? 'ended' : 'withdrawn');
    if (state.phase !== 'paused') finish(run, 'resumeTraining', 'the pause is withdrawn');
  }
  const { members, spares } = viewOf(run);
  const lacking = missing(wishes, members, spares) - crew.sought;
  if (lacking > 0) crew.seek(lacking);
  note(run, `${who} asked for ${name}${about ? ` ${about}` : ''}: ${why}`);
  return say;
}

/** A run that gives its nodes back and takes others asks for as many spares as it had. */
function changeSpares(run: Run, spares: number): void {
  run.spec.cluster = { ...run.spec.cluster, spares };
  const file = run.file as { cluster: object };
  run.file = { ...file, cluster: { ...file.cluster, spares } };
}

/** Writes down how the open requests of a kind came out. */
export function finish({ state }: Run, update: RunRequest['name'], how: string, about?: string): void {
  for (const asked of state.requests)
    if (!asked.ended && asked.update === update && (about === undefined || asked.about === about))
      asked.ended = { at: Date.now(), how };
}

/** When the run is over, nothing that is open will be done any more. */
export function finishAll(run: Run, how: string): void {
  for (const name of Object.keys(RUN_UPDATES) as RunRequest['name'][]) finish(run, name, how);
}

/** When the generation under way is to end: for what was asked, or for nodes that it lacked and that are ready now. */
export const wantedEnding = (run: Run) => {
  const { members, spares } = viewOf(run);
  const ready = run.crew.spares.filter(({ name }) => !run.settling.has(name)).length;
  return endingOf(run.wishes, members, spares) ?? (run.crew.canGrow(ready) ? 'checkpoint' : undefined);
};

/** Nodes that leave before the next launch. */
export const leavingNow = (run: Run) => {
  const { members, spares } = viewOf(run);
  return readyMoves(run.wishes, members, spares);
};

export function spareArrived(run: Run, node: string): void {
  // One asked for in place of a node that leaves is no answer to who asked for more.
  if (run.crew.sought === 0) finish(run, 'addSpare', `${node} came`);
  note(run, `${node} came as a spare`);
  show(run);
}
