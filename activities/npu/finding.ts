/** One thing that is wrong with a node, for the person who has to mend it. */
import type { Finding } from '../../workflows/contract.js';

export type { Finding };

type Parts = Omit<Finding, 'severity'>;
export const error = (parts: Parts): Finding => ({ severity: 'error', ...parts });
export const warning = (parts: Parts): Finding => ({ severity: 'warning', ...parts });

/** One line: what, why, what to do. */
export const describeFinding = ({ what, why, remedy }: Finding): string => `${what}: ${why}; ${remedy}`;
