/** The characters that byte-level tokenizers write bytes as in their vocabularies: printable ones as themselves. */
const isPrintable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

function alphabet(): string[] {
  let others = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : others++));
}

export const byteLevelAlphabet: readonly string[] = alphabet();
