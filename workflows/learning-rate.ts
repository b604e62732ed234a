/** The learning rate's schedule. What Megatron asserts of it on every rank at start is said before a node is touched. Pure. */
import type { Complaint } from './layout-rules.js';
import type { Flag, Flags } from './recipes.js';

/** As the example scripts of MindSpeed-LLM have it. */
export const LEARNING_RATE: Flags = {
  '--lr': '1.25e-6',
  '--min-lr': '1.25e-7',
  '--lr-decay-style': 'cosine',
  '--lr-warmup-fraction': '0.01',
};

/**
 * @param extraArgs of the run file, of any type
 * @param recipe what the preset changes of the flags that all models share
 */
export function learningRateComplaints(extraArgs: object, recipe: Flags): NonNullable<Complaint>[] {
  const flags = { ...LEARNING_RATE, ...recipe, ...extraArgs } as Record<string, Flag | undefined>;
  const [lr, least = 0] = [numberOf(flags['--lr']), numberOf(flags['--min-lr'])];
  const isOwn = (flag: string) => Object.hasOwn(extraArgs, flag);
  const found: (Complaint | false)[] = [
    ...['--lr', '--min-lr'].map((flag) => (numberOf(flags[flag]) ?? 0) < 0 && bad(flag, 'a number from 0')),
    lr !== undefined &&
      lr >= 0 &&
      least > lr &&
      (isOwn('--min-lr')
        ? bad('--min-lr', `at most --lr = ${String(flags['--lr'])}`)
        : bad('--lr', `at least --min-lr = ${String(flags['--min-lr'])}, or a lower --min-lr beside it`)),
    (numberOf(flags['--lr-warmup-iters']) ?? 0) > 0 &&
      numberOf(flags['--lr-warmup-fraction']) !== undefined &&
      bad(
        '--lr-warmup-iters',
        `none beside --lr-warmup-fraction = ${String(flags['--lr-warmup-fraction'])}, which "--lr-warmup-fraction": false takes away`,
      ),
  ];
  return found.filter((complaint) => !!complaint);
}

const bad = (flag: string, expected: string): Complaint => ({ path: `train.extraArgs.${flag}`, expected });

/** Nothing where the flag is absent or no number, which is another complaint. */
function numberOf(value: Flag | undefined): number | undefined {
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined;
}
