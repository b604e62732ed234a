/** Which files of a listing are the data, by their names. Pure. */

/** Extensions of data files; where two are there equally often, the first here is the data. */
export const FORMATS = ['parquet', 'arrow', 'jsonl', 'json', 'csv', 'txt'] as const;
export type Format = (typeof FORMATS)[number];
/** Around texts; parquet and arrow say by themselves how their parts are compressed. */
const AROUND = /(?<=\.(?:jsonl|json|csv|txt))\.(?:gz|zst)$/;

export interface DataFiles {
  files: string[];
  /** Files that are not read. */
  left: string[];
}

/** `undefined` for what is no data file. */
export function formatOf(path: string): Format | undefined {
  const extension = /\.([^./]+)$/.exec(path.replace(AROUND, ''))?.[1];
  return FORMATS.find((format) => format === extension);
}

/** Large files of these formats can be read from the middle, so that several shards share one. */
export const isSplittable = (path: string): boolean => formatOf(path) !== undefined && !AROUND.test(path);

/**
 * MindSpeed-LLM reads files of one extension only, the most frequent, and says nothing of the others. Otherwise more
 * than one format is a problem, since it is often the same data twice.
 */
export function chooseDataFiles(paths: string[], compat: boolean): DataFiles | { problem: string } {
  const known = paths.filter((path) => formatOf(path));
  const plain = known.filter(isSplittable);
  const formats = FORMATS.filter((format) => known.some((path) => formatOf(path) === format));
  if (formats.length === 0) return { problem: `no file ends in .${FORMATS.join(' .')}, or in .gz or .zst after that` };
  const counted = compat && plain.length ? plain : known;
  const count = (format: Format) => counted.filter((path) => formatOf(path) === format).length;
  const [first] = compat ? [...formats].sort((a, b) => count(b) - count(a)) : formats;
  if (!compat && formats.length > 1)
    return {
      problem: `there are files of more than one format (${formats.map((format) => `${count(format)} .${format}`).join(', ')}): name one, as in …/*.${formats[0]!}, or set preprocess.compat to "mindspeed", which reads the most frequent`,
    };
  const files = counted.filter((path) => formatOf(path) === first);
  const data = new Set(files);
  return { files, left: paths.filter((path) => !data.has(path)) };
}
