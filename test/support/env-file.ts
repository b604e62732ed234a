/** The settings of a file that systemd, Compose or a ConfigMap hands to a worker. */
import { expect } from 'vitest';
import { readControlConfig, readMetricsConfig, readNodeConfig } from '../../workers/config.js';

export const readEnvFile = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .split('\n')
      .filter((line) => line && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );

const reads = {
  node: (env: Record<string, string>) => readNodeConfig(env),
  control: (env: Record<string, string>) => readControlConfig(env),
};

/** A worker takes these settings as they are, and each of them: without one, or with it damaged, it reads something else. */
export function expectRead(role: keyof typeof reads, env: Record<string, string>): void {
  const all = (said: Record<string, string>): unknown => {
    try {
      return { ...reads[role](said), metrics: readMetricsConfig(said) };
    } catch (error) {
      return String(error);
    }
  };
  const whole = all(env);
  expect(whole).toBeTypeOf('object');
  for (const name of Object.keys(env).filter((other) => !other.startsWith('TEMPORAL_'))) {
    const changed = { ...env, [name]: '\0' };
    expect({ name, same: all(changed) }).not.toEqual({ name, same: whole });
  }
}
