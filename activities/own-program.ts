/** A file of this project as a program for another Node process: compiled, or as it is where tests run the sources. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** @param path relative to the file `from`, without its extension */
export function programOf(from: string, path: string): { path: string; execArgv: string[] } {
  const isSource = from.endsWith('.ts');
  return {
    path: fileURLToPath(new URL(`${path}${isSource ? '.ts' : '.js'}`, from)),
    execArgv: isSource ? ['--import', createRequire(from).resolve('tsx')] : [],
  };
}
