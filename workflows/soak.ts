/** The end of a run that tried out a node: whether the pool may give it to others again. */
import { SOAK_STEPS } from './quarantine.js';
import { note, type Run } from './run-generation.js';

/** Called where training has ended well; for runs of another kind it does nothing. */
export async function endSoak(run: Run): Promise<void> {
  const { spec, state, crew, beganAt = state.iteration } = run;
  const { soak } = spec.cluster;
  if (soak === undefined) return;
  const trained = state.iteration - beganAt;
  if (trained < SOAK_STEPS)
    return note(
      run,
      `${soak} has not passed: this run trained ${trained} iterations, and ${SOAK_STEPS} are wanted; a new series begins at 0`,
    );
  await crew.passed(trained);
  note(run, `${soak} has passed: ${trained} iterations alone, and no failure`);
}
