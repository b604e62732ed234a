/** What the release's own parser would say to `train.extraArgs`, before a node is touched; and what no run file may reach. */
import type { Complaint } from './layout-rules.js';
import { factsAbout, isAsked, type FlagFacts, type TrainingScript } from './release-flags.js';
import type { Release } from './releases.js';

/** Flags whose value names a file or a directory. */
const PATHS =
  /([-_](path|dir|file|filename|load|prefix)|^--(tokenizer-model|ref-model|reward-model|layerzero-config|additional-config|ckpt-convert-save|pretrained-checkpoint|model\.new_special_tokens_config))$/;
/** Commands run in the data directory of their node. */
const IN_DATA = /^(?!\/)(?!.*(^|\/)\.\.(\/|$))(?![a-z0-9+]+:)/i;
/** `--spec` imports a module: one of the checkout. */
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
  return (isKnown ? wrongFor(facts!, values, isAsked(release, script)) : undefined) ?? outside(flag, values);
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

function outside(flag: string, values: string[]): string | undefined {
  if (flag === '--spec' && !OF_CHECKOUT.test(values[0] ?? ''))
    return 'a module of mindspeed_llm, mindspeed or megatron, and what it calls its layers';
  return PATHS.test(flag) && !values.every((value) => IN_DATA.test(value))
    ? 'a path under the data directory of the node: relative, without ".."'
    : undefined;
}
