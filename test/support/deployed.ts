/** What infra/deploy holds, as data. */
import { readFileSync } from 'node:fs';
import { parse, parseAllDocuments } from 'yaml';
import { root } from '../../workers/config.js';

export const deployed = (path: string): string => readFileSync(`${root}/infra/deploy/${path}`, 'utf8');

export const yamlOf = <T>(path: string): T => parse(deployed(path), { merge: true }) as T;
export const documentsOf = <T>(path: string): T[] => parseAllDocuments(deployed(path)).map((one) => one.toJS() as T);

/** The roles that `workers/main.ts` takes as its argument. */
export const roles = [...readFileSync(`${root}/workers/main.ts`, 'utf8').matchAll(/^ {2}(\w+): async/gm)].map(
  ([, role]) => role!,
);

/** Seconds after which a worker that stops is through by its own rules. */
export const forcedAfter = (role: 'node' | 'control'): number =>
  Number(/shutdownForceTime: '(\d+)s'/.exec(readFileSync(`${root}/workers/${role}.ts`, 'utf8'))![1]);

export const { version } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as { version: string };
