/** How the run file writes a duration, and what it comes to. */
export const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/;

const UNIT = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of a duration such as `"90s"` or `"1.5h"`. The text must have that form. */
export function milliseconds(duration: string): number {
  const [, amount, unit] = DURATION.exec(duration)!;
  return Number(amount) * UNIT[unit as keyof typeof UNIT];
}

/** Seconds as a person says them. */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
