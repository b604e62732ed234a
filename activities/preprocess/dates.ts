/** What pyarrow, reading JSON, takes for a point in time: a column of nothing else is no column of texts to it. */
const DATE = /^\d{4}-\d{2}-\d{2}([ T]\d{2}(:?\d{2}(:?\d{2}(\.\d{1,9})?)?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$/;

export const looksLikeDate = (value: unknown): boolean => typeof value === 'string' && DATE.test(value);
