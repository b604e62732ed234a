/**
 * In the place of activities/own-program.ts where tests run the sources: the programs that these start are the build's, as
 * on a node, and start in a third of the time; after an edit without a build they are the sources.
 */
import { inject } from 'vitest';
import { programOf as ofFile } from '../../activities/own-program.js';

const root = new URL('../../', import.meta.url).href;

export const programOf: typeof ofFile = (from, path) => ofFile(inject('isCompiled') ? compiled(from) : from, path);

const compiled = (from: string): string => from.replace(root, `${root}dist/`).replace(/\.ts$/, '.js');
