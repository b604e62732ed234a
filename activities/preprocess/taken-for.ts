/** Texts that the real program's readers take for something else, where a column has nothing but those. */

/** A point in time, to pyarrow reading JSON. */
const DATE = /^\d{4}-\d{2}-\d{2}([ T]\d{2}(:?\d{2}(:?\d{2}(\.\d{1,9})?)?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$/;
/** A number and a truth value, to pandas reading CSV. */
const NUMBER = /^[ \t-\r]*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?[ \t-\r]*$|^[+-]?inf(inity)?$/i;
const BOOLEAN = /^(true|false)$/i;

const test = (pattern: RegExp) => (value: unknown) => typeof value === 'string' && pattern.test(value);
export const looksLikeDate = test(DATE);
export const looksLikeNumber = test(NUMBER);
export const looksLikeBoolean = test(BOOLEAN);
