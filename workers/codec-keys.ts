/** The keys that payloads are sealed with, as a file has them: a line `name base64` each, the newest first. */
import { readFileSync } from 'node:fs';
import { codecKeysFile } from './config.js';
import type { CodecKey } from './payload-codec.js';

/**
 * @returns nothing where payloads are not to be sealed
 * @throws Error that names the line that is wrong, and nothing of what it says
 */
export function readCodecKeys(path = codecKeysFile()): [CodecKey, ...CodecKey[]] | undefined {
  if (!path) return undefined;
  const lines = readLines(path);
  const keys = lines.flatMap((line, index) => {
    if (/^\s*(#|$)/.test(line)) return [];
    const [, name, coded] = /^([\w.-]{1,64})[ \t]+([A-Za-z0-9+/]{43}=)\s*$/.exec(line) ?? [];
    if (name === undefined || coded === undefined)
      throw new Error(
        `PRETRAIN_CODEC_KEYS: line ${index + 1} of ${path}: expected a name, a space and 32 bytes in base64 (openssl rand -base64 32)`,
      );
    return [{ name, key: Buffer.from(coded, 'base64') }];
  });
  const twice = keys.find(({ name }, index) => keys.findIndex((key) => key.name === name) < index);
  if (twice) throw new Error(`PRETRAIN_CODEC_KEYS: ${path} has two keys called ${twice.name}`);
  const [first, ...others] = keys;
  if (!first) throw new Error(`PRETRAIN_CODEC_KEYS: ${path} has no key: expected a line "name base64" for each`);
  return [first, ...others];
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch (error) {
    throw new Error(`PRETRAIN_CODEC_KEYS: ${path} cannot be read (${(error as Error).message})`, { cause: error });
  }
}
