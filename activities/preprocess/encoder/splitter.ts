/**
 * How texts are cut into words before anything is merged: the patterns that assembly/scan-….ts have by hand, each named
 * after the tokenizer that is known for it. A pattern that differs in one character is another one.
 */
export type Splitter = 'qwen' | 'llama3' | 'gpt2' | 'deepseek';

/** In the order of assembly/index.ts. */
export const SPLITTERS: readonly Splitter[] = ['qwen', 'llama3', 'gpt2', 'deepseek'];

const qwenPattern = (numbers: string) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

/** Of a ByteLevel pre-tokenizer too, which has it built in. */
export const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** Most of Han, and the blocks of hiragana and katakana with all that is in them. */
export const HAN_PATTERN = '[一-龥\u3040-ゟ゠-ヿ]+';

/** Its line ends are those themselves, not escapes. */
const DEEPSEEK_WORDS =
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+';

/** One after the other, each on what the one before it left. */
const PATTERNS: Record<Splitter, readonly string[]> = {
  qwen: [qwenPattern('\\p{N}')],
  llama3: [qwenPattern('\\p{N}{1,3}')],
  gpt2: [GPT2_PATTERN],
  deepseek: ['\\p{N}{1,3}', HAN_PATTERN, DEEPSEEK_WORDS],
};

export const splitterWith = (patterns: readonly string[]): Splitter | undefined =>
  SPLITTERS.find((splitter) => JSON.stringify(PATTERNS[splitter]) === JSON.stringify(patterns));
