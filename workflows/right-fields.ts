/**
 * The fields of a run file that are right by themselves, though others may be wrong: so that one mistake does not
 * hide the next.
 */
import { z } from 'zod';

/** Thrown by a look at a field that is wrong or missing: whatever would follow from it cannot be judged. */
const NOT_RIGHT = new Error('this field is wrong');

/** The input with defaults filled in; reading a field that is wrong throws. */
export function rightFields<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const object = objectIn(schema);
  if (!object || !isRecord(input)) throw NOT_RIGHT;
  const properties = Object.entries(object.shape).map(([key, field]) => [
    key,
    { enumerable: true, get: () => rightFields(field as z.ZodType, input[key]) },
  ]);
  return Object.defineProperties({}, Object.fromEntries(properties) as PropertyDescriptorMap) as T;
}

/** What `judge` says, or nothing when it needs a field that is wrong. */
export function unlessWrong<T>(judge: () => T): T | undefined {
  try {
    return judge();
  } catch (error) {
    if (error === NOT_RIGHT) return undefined;
    throw error;
  }
}

/** The names of the fields that an object in the schema may have; none where there is no object. */
export function fieldNames(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const object = objectIn(schema);
  if (!object || path.length === 0) return Object.keys(object?.shape ?? {});
  const [first, ...rest] = path as string[];
  const field = Object.hasOwn(object.shape, first!) ? (object.shape[first!] as z.ZodType) : undefined;
  return field ? fieldNames(field, rest) : [];
}

function objectIn(schema: z.ZodType): z.ZodObject | undefined {
  if (schema instanceof z.ZodObject) return schema;
  const wrapped = schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional;
  return wrapped ? objectIn(schema.unwrap() as z.ZodType) : undefined;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
