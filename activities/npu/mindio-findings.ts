/**
 * What ranks with last-gasp checkpoints need beside the rest: MindIO, in the Python that runs them, and the port of its
 * controller where rank 0 is (MindSpeed-LLM 2.3.0 to 26.1.0, core/high_availability/tft_train_initialize.py: 8000, always).
 */
import { error, type Finding } from './finding.js';

const CONTROLLER_PORT = 8000;
/** What torchrun imports for them. */
export const MINDIO_MODULE = 'mindio_ttp.framework_ttp';

/** @param missing what Python said, where it cannot import it; `ports` are those that somebody holds */
export function mindioFindings(missing: string | undefined, ports: Set<number>, hasController: boolean): Finding[] {
  return [
    ...(missing === undefined
      ? []
      : [
          error({
            check: 'mindio',
            what: `Python cannot import ${MINDIO_MODULE} (${missing})`,
            why: '--enable-high-availability needs it: ranks would end as they start',
            remedy: 'install the mindio_ttp wheel there, or take the flag out of train.extraArgs',
          }),
        ]),
    ...(hasController && ports.has(CONTROLLER_PORT)
      ? [
          error({
            check: 'mindio-port',
            what: `port ${CONTROLLER_PORT} is in use`,
            why: "MindIO's controller listens on it beside rank 0, and on no other",
            remedy: `end who has it (ss -tlnp 'sport = :${CONTROLLER_PORT}')`,
          }),
        ]
      : []),
  ];
}
