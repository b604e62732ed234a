/** What in node_modules is machine code: for which processor, and of how new a C library. Read from the files themselves. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** @typedef {{ path: string, cpu: 'x64' | 'arm64' | 'another', glibc: number | undefined }} NativePart */

/** Of ELF, little endian: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html */
const MACHINES = new Map([
  [0x3e, /** @type {const} */ ('x64')],
  [0xb7, /** @type {const} */ ('arm64')],
]);

/** Packages without whose native part a worker does not start, or a node does not preprocess. */
const NEEDED = ['@temporalio/core-bridge/', 'tokenizers/', '@swc/core-linux-'];

/** @param {string} folder @returns {NativePart[]} `glibc` is the minor of 2.x that it asks for, nothing where it is of no glibc */
export const nativeParts = (folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.node'))
    .map((path) => ({ path, ...readPart(readFileSync(join(folder, path))) }));

/** @param {Buffer} bytes */
function readPart(bytes) {
  const isElf = bytes.readUInt32BE(0) === 0x7f454c46;
  const cpu = (isElf && MACHINES.get(bytes.readUInt16LE(18))) || /** @type {const} */ ('another');
  const minors = [...bytes.toString('latin1').matchAll(/\bGLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
  return { cpu, glibc: isElf && minors.length > 0 ? Math.max(...minors) : undefined };
}

/** Why these cannot all be for Linux with glibc on this processor, or are not enough. @param {NativePart[]} parts @param {string} cpu */
export function complaintsAbout(parts, cpu) {
  const strangers = parts.filter((part) => part.cpu !== cpu || part.glibc === undefined);
  const missing = NEEDED.filter((name) => !parts.some(({ path }) => path.startsWith(name)));
  return [
    ...strangers.map(({ path }) => `${path} is not for linux-${cpu} with glibc`),
    ...missing.map((name) => `nothing of ${name}… is there`),
  ];
}
