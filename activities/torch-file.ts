/**
 * What is in a file of `torch.save`, without torch and without reading a weight: a zip archive of one pickle and a
 * record for each storage, all of them stored and not compressed.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { Named, unpickle, type Pickled } from './unpickle.js';

export interface Tensor {
  dtype: string;
  shape: number[];
}

interface Storage {
  dtype: string;
  key: string;
}

interface ZipRecord {
  bytes: number;
  headerAt: number;
}

const ITEM_BYTES: Record<string, number> = {
  ...{ DoubleStorage: 8, FloatStorage: 4, BFloat16Storage: 2, HalfStorage: 2 },
  ...{ LongStorage: 8, IntStorage: 4, ShortStorage: 2, CharStorage: 1, ByteStorage: 1, BoolStorage: 1 },
};
/** The pickle says what there is, and holds no weight. */
const MAX_PICKLE = 256 * 2 ** 20;

/**
 * The tensors of the models in a Megatron checkpoint, by key (`model`, `model0`, …) and name.
 * @throws where the file is cut, is none of torch's, or a tensor's bytes are not all there
 */
export async function modelsIn(path: string): Promise<Record<string, Record<string, Tensor>>> {
  const file = await open(path, 'r');
  try {
    const records = await recordsOf(file, path);
    const name = [...records.keys()].find((record) => record.endsWith('/data.pkl'));
    if (name === undefined) throw new Error(`${path} has no data.pkl: it is no file of torch.save`);
    const storages = name.slice(0, -'data.pkl'.length);
    const { bytes } = records.get(name)!;
    if (bytes > MAX_PICKLE) throw new Error(`${path}: its data.pkl has ${bytes} bytes, too many to be read`);
    const content = unpickle(await contentOf(file, records.get(name)!), {
      persistent: storageOf,
      call: (called, args) => tensorOf(called, args, (key) => records.get(`${storages}data/${key}`)?.bytes, path),
    });
    if (!(content instanceof Map)) throw new Error(`${path} holds no dictionary`);
    const models = [...(content as Map<Pickled, Pickled>)].flatMap(([key, model]) =>
      typeof key === 'string' && /^model\d*$/.test(key) && model instanceof Map ? [[key, tensorsOf(model)]] : [],
    );
    return Object.fromEntries(models) as Record<string, Record<string, Tensor>>;
  } catch (error) {
    // Whatever reads bytes that are none of torch's may stumble over them.
    const { message } = error as Error;
    throw message.includes(path) ? error : new Error(`${path} cannot be read: ${message}`, { cause: error });
  } finally {
    await file.close();
  }
}

const isTensor = (value: Pickled): value is Tensor =>
  typeof value === 'object' && value !== null && 'dtype' in value && 'shape' in value;

const tensorsOf = (model: Map<Pickled, Pickled>): Record<string, Tensor> =>
  Object.fromEntries([...model].filter((entry): entry is [string, Tensor] => isTensor(entry[1])));

/** `('storage', class, key, device, elements)`. */
function storageOf(id: Pickled): Storage | undefined {
  if (!Array.isArray(id) || !(id[1] instanceof Named)) return undefined;
  return { dtype: id[1].name.replace(/^torch\./, ''), key: String(id[2]) };
}

/** torch/_utils.py, `_rebuild_tensor_v2(storage, offset, size, stride, …)`. */
function tensorOf(
  called: string,
  args: Pickled[],
  bytesOf: (key: string) => number | undefined,
  path: string,
): Pickled {
  if (/^collections\.(OrderedDict|defaultdict)$/.test(called)) return new Map();
  if (called === 'torch._utils._rebuild_parameter') return args[0];
  if (called !== 'torch._utils._rebuild_tensor_v2') return undefined;
  const [{ dtype, key }, offset, shape, stride] = args as [Storage, number, number[], number[]];
  const item = ITEM_BYTES[dtype];
  if (item === undefined) throw new Error(`${path} holds a ${dtype}, which is not known`);
  const isEmpty = shape.includes(0);
  const end = isEmpty ? 0 : offset + 1 + shape.reduce((sum, length, axis) => sum + (length - 1) * stride[axis]!, 0);
  const there = bytesOf(key);
  if (there === undefined || there < end * item)
    throw new Error(`${path} has ${there ?? 0} bytes of a tensor that needs ${end * item}`);
  return { dtype: dtype.replace('Storage', ''), shape } satisfies Tensor;
}

/** Structures of APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16. */
const END = { signature: 0x06054b50, bytes: 22, maxComment: 65_535 };
const END_64_LOCATOR = { signature: 0x07064b50, bytes: 20 };
const ENTRY = { signature: 0x02014b50, bytes: 46 };
const LOCAL_BYTES = 30;
const IN_64 = 0xffffffff;

/** The archive's directory, which is its end: a file that was cut has none. */
async function recordsOf(file: FileHandle, path: string): Promise<Map<string, ZipRecord>> {
  const { size } = await file.stat();
  const tail = await read(file, Math.max(0, size - END.bytes - END.maxComment - END_64_LOCATOR.bytes), size);
  const end = tail.lastIndexOf(signatureBytes(END.signature));
  if (end < 0 || tail.length - end < END.bytes)
    throw new Error(`${path} is cut, or no file of torch.save: it has no directory at its end`);
  let [length, offset] = [tail.readUInt32LE(end + 12), tail.readUInt32LE(end + 16)];
  const locator = end - END_64_LOCATOR.bytes;
  if (locator >= 0 && tail.readUInt32LE(locator) === END_64_LOCATOR.signature) {
    const at = Number(tail.readBigUInt64LE(locator + 8));
    const end64 = await read(file, at, at + 56);
    [length, offset] = [Number(end64.readBigUInt64LE(40)), Number(end64.readBigUInt64LE(48))];
  }
  const directory = await read(file, offset, offset + length);
  const records = new Map<string, ZipRecord>();
  for (let at = 0; at + ENTRY.bytes <= directory.length && directory.readUInt32LE(at) === ENTRY.signature;) {
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) => directory.readUInt16LE(at + field));
    const name = directory.toString('utf8', at + ENTRY.bytes, at + ENTRY.bytes + nameBytes!);
    const extra = directory.subarray(at + ENTRY.bytes + nameBytes!, at + ENTRY.bytes + nameBytes! + extraBytes!);
    records.set(name, recordOf(directory.subarray(at), extra));
    at += ENTRY.bytes + nameBytes! + extraBytes! + commentBytes!;
  }
  return records;
}

/** Numbers that do not fit are in the extra field of id 1, in this order. */
function recordOf(entry: Buffer, extra: Buffer): ZipRecord {
  let [bytes, headerAt] = [entry.readUInt32LE(24), entry.readUInt32LE(42)];
  const isLarge = [bytes, entry.readUInt32LE(20), headerAt].map((value) => value === IN_64);
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== 1) continue;
    let field = at + 4;
    const next = () => Number(extra.readBigUInt64LE((field += 8) - 8));
    if (isLarge[0]) bytes = next();
    if (isLarge[1]) next();
    if (isLarge[2]) headerAt = next();
    break;
  }
  return { bytes, headerAt };
}

async function contentOf(file: FileHandle, { bytes, headerAt }: ZipRecord): Promise<Buffer> {
  const header = await read(file, headerAt, headerAt + LOCAL_BYTES);
  const from = headerAt + LOCAL_BYTES + header.readUInt16LE(26) + header.readUInt16LE(28);
  return read(file, from, from + bytes);
}

async function read(file: FileHandle, from: number, to: number): Promise<Buffer> {
  // Before there is room for them: what a directory says of itself may be anything.
  const there = Math.max(0, (await file.stat()).size - from);
  if (there < to - from) throw new Error(`there are ${there} of ${to - from} bytes at ${from}`);
  const bytes = Buffer.alloc(to - from);
  await file.read(bytes, 0, bytes.length, from);
  return bytes;
}

function signatureBytes(signature: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(signature);
  return bytes;
}
