/** Real text in many scripts that is there after `npm ci`: speeches, messages of programs in their translations, code. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readSpeeches } from '../../../infra/demo/corpus.js';
import { root } from '../../../workers/config.js';

export const speeches = async (): Promise<string[]> => (await readSpeeches()).map(({ text }) => text);

/** Thirteen languages, about ninety messages a document. */
export async function translations(): Promise<string[]> {
  const lib = join(root, 'node_modules/typescript/lib');
  const documents: string[] = [];
  for (const language of (await readdir(lib, { withFileTypes: true })).filter((entry) => entry.isDirectory())) {
    const json = await readFile(join(lib, language.name, 'diagnosticMessages.generated.json'), 'utf8');
    const messages = Object.values(JSON.parse(json) as Record<string, string>);
    for (let at = 0; at < messages.length; at += 90) documents.push(messages.slice(at, at + 90).join('\n'));
  }
  return documents;
}

/** Some fifty languages, of which many are written in scripts of their own. */
export async function locales(): Promise<string[]> {
  const dir = join(root, 'node_modules/zod/v4/locales');
  const names = (await readdir(dir)).filter((name) => name.endsWith('.js'));
  return Promise.all(names.map((name) => readFile(join(dir, name), 'utf8')));
}

export async function code(): Promise<string[]> {
  const lib = join(root, 'node_modules/typescript/lib');
  const names = (await readdir(lib)).filter((name) => /^lib\..*\.d\.ts$/.test(name));
  return Promise.all(names.map((name) => readFile(join(lib, name), 'utf8')));
}
