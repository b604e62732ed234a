/**
 * Records what transformers itself makes of the cases of transformers-cases.ts:
 * `npx tsx test/support/encoder/record-transformers.ts <python with transformers==4.57.1>`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CASES, readCases, type TransformersCase, textsOf, writeCase } from './transformers-cases.js';

const PROGRAM = `
import json, sys
from transformers import AutoTokenizer
jobs, answers = json.load(sys.stdin), []
for job in jobs:
    try:
        t = AutoTokenizer.from_pretrained(job["dir"], local_files_only=True, trust_remote_code=True)
        ids = [" ".join(map(str, t(text)["input_ids"])) for text in job["texts"]]
        answers.append({"eos": t.eos_token_id, "size": len(t), "ids": ids})
    except Exception as e:
        answers.append({"refused": f"{type(e).__name__}: {e}".replace(job["dir"], "<dir>")[:160]})
json.dump(answers, open(sys.argv[1], "w"))
`;

type Answer = Pick<TransformersCase, 'refused' | 'eos' | 'size' | 'ids'>;

const dir = await mkdtemp(join(tmpdir(), 'cases-'));
try {
  const cases = await readCases();
  const jobs = cases.map(({ tokens }, at) => ({ dir: join(dir, String(at)), texts: textsOf(tokens) }));
  for (const [at, each] of cases.entries()) await writeCase(jobs[at]!.dir, each);
  const answer = join(dir, 'answers.json');
  const stdio = ['pipe', 'inherit', 'inherit'] as const;
  const { status } = spawnSync(process.argv[2]!, ['-c', PROGRAM, answer], {
    input: JSON.stringify(jobs),
    stdio: [...stdio],
  });
  if (status !== 0) throw new Error(`python ended with ${status}`);
  const { default: answers } = (await import(answer, { with: { type: 'json' } })) as { default: Answer[] };
  const recorded = cases.map(({ what, base, changes, tokens, warns }, at) =>
    JSON.stringify({ what, base, changes, tokens, warns, ...answers[at] }),
  );
  await writeFile(CASES, `[\n${recorded.join(',\n')}\n]\n`);
} finally {
  await rm(dir, { recursive: true });
}
