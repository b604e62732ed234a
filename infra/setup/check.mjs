/**
 * `npm run check`: types, lint and format. The linter takes as long as the other two together, and runs beside them; what
 * any of them finds is said, whatever the others find.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { root } from './step.mjs';

const lanes = [
  [['eslint/bin/eslint.js', '.']],
  [
    ['typescript/bin/tsc', '--noEmit'],
    ['prettier/bin/prettier.cjs', '--check', '.'],
  ],
];

/** @param {string[]} words a program of node_modules, and its arguments @returns {Promise<boolean>} */
function isClean([program = '', ...args]) {
  const child = spawn(process.execPath, [join(root, 'node_modules', program), ...args], {
    cwd: root,
    stdio: 'inherit',
  });
  return new Promise((resolve, reject) => child.once('error', reject).once('exit', (code) => resolve(code === 0)));
}

/** @param {string[][]} lane */
async function oneByOne(lane) {
  const results = [];
  for (const words of lane) results.push(await isClean(words));
  return results;
}

const results = (await Promise.all(lanes.map(oneByOne))).flat();
if (results.includes(false)) process.exitCode = 1;
