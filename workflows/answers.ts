/**
 * What an update of a run does, by the phase that the run is in: one table, answered from the run's own state at
 * once. A refusal says why and what to do instead; an acceptance says what will happen and when. Pure.
 */
import { AT_STOP, type Gate, type RunRequest } from './requests.js';
import { describeSettings, refusalOf, withSettings } from './settings.js';
import { describeProblems, parseRunSpec } from './spec.js';
import { duration } from './duration.js';
import { isCopied, type RunState } from './status.js';
import { missing, type Ending, type Move, type Wishes } from './wishes.js';

/** What the answers depend on. */
export interface View {
  state: Pick<
    RunState,
    'phase' | 'generation' | 'iteration' | 'replicated' | 'copies' | 'target' | 'secondsPerIteration' | 'series'
  >;
  /** The run file as it holds now. */
  file: unknown;
  saveInterval: number;
  stopGrace: string;
  members: string[];
  spares: string[];
  wishes: Wishes;
  /** Gates that the run file sets, and which of them are passed. */
  gates: { name: string; passed: boolean }[];
  /** Where the run waits now. */
  atGate?: Gate;
  /** Its ranks save and end. */
  isCancelled?: true;
}

export type Answer = { refuse: string } | { say: string; wishes: Wishes };

export function answerTo(request: RunRequest, view: View): Answer {
  const { phase } = view.state;
  if (phase === 'export' || phase === 'report' || phase === 'done' || phase === 'failed' || phase === 'cancelled')
    return refuse(`the run is ending (phase ${phase}); start another one of series ${view.state.series} to train on`);
  if (view.isCancelled)
    return refuse(`the run was cancelled and is ending; start another one of series ${view.state.series} to train on`);
  if (view.atGate === 'export' && request.name !== 'approve')
    return refuse('everything is trained, and the run waits for somebody to approve "export" or to stop there');
  const answer = answers[request.name] as (request: RunRequest, view: View) => Answer;
  return answer(request, view);
}

const refuse = (why: string): Answer => ({ refuse: why });

type Answers = { [N in RunRequest['name']]: (request: Extract<RunRequest, { name: N }>, view: View) => Answer };

const answers: Answers = {
  checkpointNow: (_, view) => {
    const { state, wishes } = view;
    if (state.phase !== 'train')
      return refuse(`no ranks train now (phase ${state.phase}), so there is nothing to save; ${newest(view)}`);
    if (wishes.save) return { say: `this was asked for already, and is on its way: ${newest(view)}`, wishes };
    const next = nextSave(view);
    return {
      say: `the ranks save after the iteration under way and end, which MindSpeed-LLM has no save without, and generation ${state.generation + 1} trains on from that save. It costs a start. Where they have not saved after stopGrace = ${view.stopGrace}, training goes on from iteration ${state.replicated}. The next planned save is at iteration ${next.iteration}${next.eta}`,
      wishes: { ...wishes, save: true },
    };
  },

  pauseTraining: ({ at, nodes }, view) => {
    const { state, wishes } = view;
    // Not where it was just told to go on.
    if (state.phase === 'paused' && wishes.pause) {
      const before = wishes.pause.nodes;
      if (before === nodes) return { say: `the run is paused already, and its nodes are ${kept(nodes)}`, wishes };
      if (before === 'free')
        return refuse(
          'nodes: expected "free", since the nodes were given back when the run paused; resumeTraining asks for others',
        );
      return {
        say: 'the run is paused already; its nodes are given back now',
        wishes: { ...wishes, pause: { at, nodes } },
      };
    }
    const again = wishes.pause ? 'a pause was asked for already, and is now as follows: ' : '';
    return {
      say: `${again}the run pauses ${when(view, at)}. Its nodes are ${kept(nodes)}; resumeTraining goes on from there`,
      wishes: { ...wishes, pause: { at, nodes } },
    };
  },

  resumeTraining: ({ settings }, view) => {
    const { state, wishes } = view;
    const { pause, ...others } = wishes;
    if (!pause && state.phase === 'paused') return refuse('the run was told to go on already, and does so now');
    if (!pause) return refuse(`nothing is paused (phase ${state.phase}), and no pause is asked for`);
    if (state.phase !== 'paused')
      return settings
        ? refuse(`settings: expected none before the run is paused, which it is ${when(view, pause.at)}`)
        : { say: 'the pause that was asked for is withdrawn, and the run goes on', wishes: others };
    if (settings) {
      const why = refusalOf(settings, view.file, state.replicated);
      if (why) return refuse(why);
      const parsed = parseRunSpec(withSettings(view.file, settings, state.replicated), state.series);
      if ('problems' in parsed) return refuse(`settings: ${describeProblems(parsed.problems)}`);
    }
    const from = state.replicated > 0 ? `iteration ${state.replicated}` : 'the beginning';
    const first = pause.nodes === 'free' ? 'asks the pool for nodes, then ' : '';
    const changes = settings && describeSettings(settings);
    const changed = changes ? `, with ${changes}` : '';
    return {
      say: `the run ${first}checks its nodes and launches generation ${state.generation + 1} from ${from}${changed}`,
      wishes: { ...others, ...(changes && { settings }) },
    };
  },

  replaceNode: (request, view) => move({ ...request, cordon: false }, view),
  drainNode: (request, view) => move({ ...request, cordon: true }, view),

  addSpare: ({ count }, view) => {
    if (isWithoutNodes(view)) return refuse('the run has given its nodes back; say settings.spares to resumeTraining');
    // A run that continues as new reads its run file again.
    const { spares = 0 } = (view.file as { cluster: { spares?: number } }).cluster;
    const parsed = parseRunSpec(withSettings(view.file, { spares: spares + count }, 0), view.state.series);
    if ('problems' in parsed) return refuse(`count: ${describeProblems(parsed.problems)}`);
    const first = view.members.length === 0 ? ' once the run has its nodes' : '';
    return {
      say: `the pool is asked for ${count} more${first}, which it gives when it can. A spare keeps copies of checkpoints, at once where some are lacking and else from the next launch on, and takes a lost node's place. The run has ${view.spares.length} now`,
      wishes: view.wishes,
    };
  },

  approve: ({ gate, decision }, { gates, wishes, atGate }) => {
    const known = gates.find(({ name }) => name === gate);
    if (!known)
      return refuse(`gate: expected one that the run file sets (gates.${gate}), and it sets none of that name`);
    if (gate === 'train' && atGate === 'export') return refuse('gate: everything is trained; expected "export"');
    if (known.passed) return refuse(`gate: ${gate} is passed already; to stop the run, cancel it`);
    const does = decision === 'proceed' ? 'goes on' : AT_STOP[gate];
    return {
      say: atGate === gate ? `the run ${does} now` : `the run ${does} when it comes to the gate "${gate}"`,
      wishes: { ...wishes, gates: { ...wishes.gates, [gate]: decision } },
    };
  },
};

function move({ node, at, cordon, who, why }: Move, view: View): Answer {
  const { members, spares, wishes, state } = view;
  if (isWithoutNodes(view))
    return refuse('node: the run has given its nodes back; the pool cordons and drains by itself');
  if (![...members, ...spares].includes(node))
    return refuse(
      `node: expected one of the run's, ${[...members, ...spares].join(', ') || 'which has none yet'}, got ${JSON.stringify(node)}`,
    );
  const before = wishes.moves.find((other) => other.node === node);
  const wanted: Move = before
    ? { ...before, at: before.at === 'now' ? 'now' : at, cordon: before.cordon || cordon }
    : { node, at, cordon, who, why };
  const after = { ...wishes, moves: [...wishes.moves.filter((other) => other !== before), wanted] };
  const again = before ? 'this was asked for already, and is now as follows: ' : '';
  const cordoned = wanted.cordon ? `. No run gets ${node} from now on, until the pool is told to uncordon it` : '';
  return { say: `${again}${leaves(wanted, after, view)}${cordoned}`, wishes: after };

  function leaves({ at }: Move, wishes: Wishes, view: View): string {
    if (spares.includes(node)) return `${node} is a spare, and is given back ${when(view, at)}`;
    const isShort = missing(wishes, members, spares) > 0;
    if (isShort && at === 'checkpoint')
      return `there is no spare: the pool is asked for a node, the run trains on until it has one, and ${node} is replaced at the first checkpoint after that`;
    if (isShort)
      return `there is no spare: ${node} leaves ${when(view, at)}, and the run waits until the pool gives another`;
    const then = state.phase === 'train' ? `, and generation ${state.generation + 1} trains on from that save` : '';
    return `a spare takes the place of ${node} ${when(view, at)}${then}`;
  }
}

const isWithoutNodes = ({ state, wishes, members }: View): boolean =>
  state.phase === 'paused' && wishes.pause?.nodes === 'free' && members.length === 0;

const kept = (nodes: 'keep' | 'free'): string => (nodes === 'keep' ? 'kept' : 'given back to the pool');

const newest = ({ state }: View): string =>
  state.replicated > 0
    ? `the newest checkpoint is iteration ${state.replicated}, ${isCopied(state) ? 'complete and copied' : 'complete'}`
    : 'there is no checkpoint yet';

/** When something happens that needs the ranks to have ended. */
function when(view: View, at: Ending): string {
  const { phase } = view.state;
  if (phase === 'train' && at === 'now') return 'after the iteration under way, which the ranks save';
  if (phase === 'train') {
    const { iteration, eta, isLast } = nextSave(view);
    // A failure before that, and it happens all the same.
    const unless = isLast ? ', which is the last one: the run ends then. "at": "now" comes before' : '';
    return `when iteration ${iteration} is saved and copied${eta}${unless}`;
  }
  if (phase === 'nodes') return 'as soon as it has its nodes';
  if (phase === 'paused') return 'before the next launch';
  if (phase === 'approval') return 'after the approval that it waits for, before the launch';
  return `before the next launch, after phase ${phase}`;
}

function nextSave({ state, saveInterval }: View) {
  const { iteration: now, target, secondsPerIteration } = state;
  const iteration = Math.min(target, (Math.floor(now / saveInterval) + 1) * saveInterval);
  const eta = secondsPerIteration ? `, in about ${duration((iteration - now) * secondsPerIteration)}` : '';
  return { iteration, eta, isLast: iteration === target };
}
