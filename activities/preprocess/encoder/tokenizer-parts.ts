/**
 * A `tokenizer.json` in two parts, so that one can be changed without parsing the other: the vocabulary takes more memory
 * than all else. Pure.
 */

export interface TokenizerParts {
  /** All but the model. */
  head: Record<string, unknown>;
  vocabulary(): Map<string, number>;
  /** The file with other values in its head. */
  with(changed: Record<string, unknown>): Buffer;
}

const MODEL = '"model"';
/** What may be looked at, and so has to be known to be before the model. */
const NEEDED = ['added_tokens', 'padding', 'normalizer', 'pre_tokenizer', 'post_processor'];

/** @returns nothing where it is no JSON, or no object. Where the model does not come last, as is usual, all is parsed. */
export function partsOf(json: Buffer): TokenizerParts | undefined {
  try {
    const at = json.indexOf(MODEL);
    const head = at < 0 ? undefined : headBefore(json.subarray(0, at));
    let known: Map<string, number> | undefined;
    const vocabulary = () => (known ??= vocabularyOf(parse(json).model));
    if (head && NEEDED.every((name) => name in head))
      return { head, vocabulary, with: (changed) => joined({ ...head, ...changed }, json.subarray(at)) };
    const { model, ...rest } = parse(json);
    const tail = () => Buffer.from(`${MODEL}:${JSON.stringify(model)}}`);
    return { head: rest, vocabulary, with: (changed) => joined({ ...rest, ...changed }, tail()) };
  } catch {
    return undefined;
  }
}

interface Model {
  vocab?: Record<string, number> | [string, number][];
}

const parse = (json: Buffer) => JSON.parse(json.toString('utf8')) as Record<string, unknown> & { model?: Model };

function headBefore(start: Buffer): Record<string, unknown> | undefined {
  try {
    const { model: _, ...head } = JSON.parse(`${start.toString('utf8')}${MODEL}:0}`) as Record<string, unknown>;
    return head;
  } catch {
    return undefined;
  }
}

const joined = (head: object, tail: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${JSON.stringify(head).slice(0, -1)},`), tail]);

function vocabularyOf({ vocab = {} }: Model = {}): Map<string, number> {
  return new Map(Array.isArray(vocab) ? vocab.map(([token], id) => [token, id]) : Object.entries(vocab));
}
