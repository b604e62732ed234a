/**
 * `npm run fuzz`: hostile input at every door, more of it than `npm test` has time for.
 *
 *     --only name,…     some doors; --list names them
 *     --inputs 20000    for each
 *     --seed 7          to see again what was found; else another one each time
 *     --json            the last line on stdout is one JSON object
 */
import { parseArgs } from 'node:util';
import { program } from '../../workers/program.js';
import { fuzz, type Outcome } from './target.js';
import { targets } from './targets/index.js';

function chosen(only: string | undefined) {
  if (only === undefined) return targets;
  return only.split(',').map((name) => {
    const found = targets.find((target) => target.name === name);
    if (!found) throw new Error(`--only: there is no door "${name}"; --list names them`);
    return found;
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      inputs: { type: 'string', default: '20000' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      list: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  if (values.list) return console.log(targets.map(({ name }) => name).join('\n'));
  const [inputs, seed] = [values.inputs, values.seed].map(Number) as [number, number];
  if (!(Number.isSafeInteger(inputs) && inputs > 0))
    throw new Error(`--inputs: expected a count, got ${values.inputs}`);
  if (!Number.isSafeInteger(seed)) throw new Error(`--seed: expected a whole number, got ${values.seed}`);
  console.log(
    `seed ${seed}\n${'door'.padEnd(20)}${'inputs'.padStart(9)}${'slowest ms'.padStart(12)}${'rss MB'.padStart(9)}  verdict`,
  );
  const outcomes: Record<string, Outcome> = {};
  for (const target of chosen(values.only)) {
    const outcome = (outcomes[target.name] = await fuzz(target, inputs, seed).finally(() => target.close?.()));
    const { inputs: tried, slowestMs, rssMb, failure } = outcome;
    const figures = `${String(tried).padStart(9)}${slowestMs.toFixed(0).padStart(12)}${rssMb.toFixed(0).padStart(9)}`;
    console.log(`${target.name.padEnd(20)}${figures}  ${failure ?? 'held'}`);
  }
  if (values.json) console.log(JSON.stringify({ seed, outcomes }));
  if (Object.values(outcomes).some(({ failure }) => failure)) process.exitCode = 1;
}

program(main);
