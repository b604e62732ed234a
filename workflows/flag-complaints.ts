/** What the release's own parser would say to `train.extraArgs`, before a node is touched; and what no run file may reach. */
import type { Complaint } from './layout-rules.js';
import { factsAbout, isAsked, type FlagFacts, type TrainingScript } from './release-flags.js';
import type { Release } from './releases.js';

/** Flags whose value names a file or a directory. */
const PATHS =
  /([-_](path|dir|file|filename|folder|cfg|load|prefix|datasets)|^--(tokenizer-model|layerzero-config|additional-config|ckpt-convert-save|hf-datasets-params|model\.new_special_tokens_config))$/;
/** Commands run in the data directory of their node. Some programs expand a home directory or a variable. */
const OUTSIDE = /^[/~]|(^|\/)\.\.(\/|$)|^[a-z0-9+]+:|\$/i;
/** What a node keeps below its data directory: written over, it would refuse launches, or its own start. */
const OF_NODE =
  /^(access|cache|datasets|exports|files|launches|manifests|models|runs|series|collectives\.json|file-service-port|node-name|owner|\..*)$/;
/** Megatron takes such a pattern for Python, and runs it (`moe_freq_type`): a number, or lists with `*` and `+`, as "([0]*3+[1])*2". */
const PATTERNS = ['--moe-layer-freq', '--linear-attention-freq'];
const LIST = String.raw`\[[01](?:,[01])*\](?:\*\d{1,3})?`;
const SUM = String.raw`(?:${LIST}|\(${LIST}(?:\+${LIST})*\)(?:\*\d{1,3})?)`;
const PATTERN = new RegExp(String.raw`^(?:[-+]?\d{1,6}|${SUM}(?:\+${SUM})*)$`);
/** They import a module: one of the checkout. */
const SPECS = ['--spec', '--mtp-spec'];
const OF_CHECKOUT = /^(mindspeed_llm|mindspeed|megatron)(\.\w+)+$/;

interface Mindspeed {
  release: Release;
  addedFlags: readonly string[];
}

/** One complaint for each flag that this release would not take, or that reaches where a run file may not. */
export function flagComplaints(
  extraArgs: object,
  mindspeed: Mindspeed,
  script: TrainingScript = 'pretrain_gpt.py',
): NonNullable<Complaint>[] {
  return Object.entries(extraArgs).flatMap(([flag, value]) => {
    const expected = expectedOf(flag, value, mindspeed, script);
    return expected === undefined ? [] : [{ path: `train.extraArgs.${flag}`, expected }];
  });
}

function expectedOf(
  flag: string,
  value: unknown,
  { release, addedFlags }: Mindspeed,
  script: TrainingScript,
): string | undefined {
  const facts = factsAbout(flag, script);
  const isKnown = facts?.releases.includes(release) ?? false;
  if (!isKnown && !addedFlags.includes(flag)) return unknown(release, facts, script);
  if (script === 'train_fsdp2.py') {
    const isSwitch = facts?.choices?.join() === SWITCH;
    if (isSwitch || typeof value === 'boolean')
      return isSwitch && typeof value === 'boolean' ? undefined : isSwitch ? 'true or false' : 'a value';
  }
  // Takes a default away: nothing is given to the parser.
  if (value === false) return undefined;
  const values = value === true ? [] : [value].flat().map(textOf);
  return (isKnown ? wrongFor(facts!, values, isAsked(release, script)) : undefined) ?? outside(flag, values, isKnown);
}

/** Of `train_fsdp2.py` a switch takes a value. */
const SWITCH = 'True,False';

/** An object of a run file may have anything under `toString`. */
const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

function unknown(release: Release, facts: FlagFacts | undefined, script: TrainingScript): string {
  const elsewhere = facts ? `, which has none of this name; ${facts.releases.join(', ')} has it` : '';
  return `a flag of ${script} in MindSpeed-LLM ${release} (mindspeed.release)${elsewhere}. One that only your checkout has is named in mindspeed.addedFlags`;
}

function wrongFor({ nargs, type, choices }: FlagFacts, values: string[], asked: boolean): string | undefined {
  if (nargs === 0) return values.length > 0 ? 'true or false: this flag takes no value' : undefined;
  if (nargs === 1 && values.length !== 1) return 'one value';
  if (nargs === '+' && values.length === 0) return 'one value or more';
  if (type === 'int' && !values.every((value) => /^[-+]?\d+$/.test(value))) return 'a whole number';
  if (type === 'float' && !values.every((value) => value !== '' && Number.isFinite(Number(value)))) return 'a number';
  const isChosen = !choices || !asked || values.every((value) => choices.includes(value));
  return isChosen ? undefined : `one of ${choices.join(', ')}`;
}

function outside(flag: string, values: string[], isKnown: boolean): string | undefined {
  if (SPECS.includes(flag) && !OF_CHECKOUT.test(values[0] ?? ''))
    return 'a module of mindspeed_llm, mindspeed or megatron, and what it calls its layers';
  if (
    PATTERNS.includes(flag) &&
    !values.every((value) => value.length < 1000 && PATTERN.test(value.replaceAll(' ', '')))
  )
    return 'a whole number, or lists of 0 and 1 such as "([0]*3+[1]*1)*2"';
  const isPath = PATHS.test(flag);
  // What a flag of a checkout's own makes of its value, only that checkout knows.
  if ((isPath || !isKnown) && values.some((value) => OUTSIDE.test(value)))
    return 'a path under the data directory of the node: relative, without ".."';
  return isPath && values.some((value) => OF_NODE.test(firstName(value)))
    ? 'a path of your own under the data directory of the node, such as "profiles/a": this is where the node keeps what it needs'
    : undefined;
}

const firstName = (path: string): string => path.split('/').find((part) => part !== '' && part !== '.') ?? '.';
