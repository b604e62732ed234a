/**
 * The settings that a paused run goes on with. They were accepted by what was known then; a checkpoint that is found
 * only before the launch may not take them, and then the run is paused again with what it had.
 */
import { ApplicationFailure } from '@temporalio/workflow';
import { finish } from './conversation.js';
import { cannotFollow, messageOf } from './failure-chain.js';
import { targetOf } from './plan.js';
import type { Settings } from './requests.js';
import { note, type Run } from './run-generation.js';
import { describeSettings, withSettings } from './settings.js';
import { parseRunSpec } from './spec.js';
import type { Wishes } from './wishes.js';

/** What a run goes back to where settings are refused that no launch has begun with. */
export interface Untried {
  /** That section of the run file: of the others settings change only the spares, which no checkpoint minds. */
  train: object;
  target: number;
  pause: NonNullable<Wishes['pause']>;
  told: string[];
}

export async function applySettings(run: Run, settings: Settings, pause: Untried['pause']): Promise<void> {
  const { state, crew, untried } = run;
  const { spares, ...ofTraining } = settings;
  if (Object.keys(ofTraining).length > 0)
    run.untried = {
      ...{ train: (run.file as { train: object }).train, target: state.target, ...untried, pause },
      told: [...(untried?.told ?? []), describeSettings(ofTraining)],
    };
  takeFile(run, withSettings(run.file, settings, state.replicated));
  state.target = targetOf(run.spec, state.replicated);
  note(run, `settings changed: ${describeSettings(settings)}`);
  if (spares === undefined || crew.members.length === 0) return;
  const have = crew.spares.length + crew.newcomers.length + crew.sought;
  if (spares > have) crew.seek(spares - have);
  else await crew.shrink(spares);
}

/** A launch begins, with whatever settings there are. */
export function settingsTried(run: Run): void {
  delete run.untried;
  finish(run, 'resumeTraining', `goes on from iteration ${run.state.replicated}`);
}

/** Whether this error refuses the settings of the last pause: then the run is paused again without them. */
export function settingsRefused(run: Run, error: unknown): boolean {
  const { untried, state } = run;
  if (!untried || !cannotFollow(error)) return false;
  const { train, target, pause, told } = untried;
  delete run.untried;
  takeFile(run, { ...(run.file as object), train });
  state.target = target;
  run.wishes = { ...run.wishes, pause: run.wishes.pause ?? pause };
  const how = `the settings are taken back (${told.join('; ')}), and the run is paused again: ${messageOf(error)}`;
  note(run, how);
  finish(run, 'resumeTraining', how);
  return true;
}

/** The parts of the run file were tried out before the settings in it were accepted. */
function takeFile(run: Run, file: unknown): void {
  const { state, spec } = run;
  const parsed = parseRunSpec(file, spec.series);
  if (!('spec' in parsed)) throw ApplicationFailure.nonRetryable('the changed run file is wrong', 'InvalidInput');
  run.file = file;
  Object.assign(spec, parsed.spec);
  state.total = spec.train.iterations;
}
