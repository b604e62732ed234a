/** Stamps: a small JSON file that says for which inputs a step was finished. Written last, by rename. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A digest over names and contents. Contents, not times: a checkout of another branch must never look fresh. */
export function hashFiles(/** @type {string} */ base, /** @type {string[]} */ files) {
  const hash = createHash('sha256');
  for (const file of [...files].sort()) {
    const content = readFileSync(join(base, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/**
 * All files below some folders, relative to base; a folder that is not there has none.
 * @param {string} base @param {string[]} folders @param {(file: string) => boolean} wanted
 * @returns {string[]}
 */
export function listFiles(base, folders, wanted) {
  return folders.flatMap((folder) => {
    const entries = tryOr(() => readdirSync(join(base, folder), { withFileTypes: true }), []);
    return entries.flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return listFiles(base, [path], wanted);
      return wanted(path) ? [path] : [];
    });
  });
}

/** What identifies a big file without reading it. @returns {{ path: string, size: number, mtimeMs: number } | undefined} */
export function identify(/** @type {string} */ path) {
  return tryOr(() => {
    const { size, mtimeMs } = statSync(path);
    return { path, size, mtimeMs };
  }, undefined);
}

/** @param {string} file @returns {any} the stamp, or undefined when there is none or it is damaged */
export function readStamp(file) {
  return tryOr(() => JSON.parse(readFileSync(file, 'utf8')), undefined);
}

/** @param {string} file @param {unknown} value */
export function writeStamp(file, value) {
  writeWhole(file, `${JSON.stringify(value, undefined, 2)}\n`);
}

/** A file that is there is whole. @param {string} file @param {string} content */
export function writeWhole(file, content) {
  mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, content);
  renameSync(temporary, file);
}

/** @param {unknown} a @param {unknown} b */
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** @template T, D @param {() => T} work @param {D} otherwise @returns {T | D} */
function tryOr(work, otherwise) {
  try {
    return work();
  } catch {
    return otherwise;
  }
}
