/** What workers tell the server, sealed with a key that the server does not have; in the form of Temporal's own sample. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';

export interface CodecKey {
  name: string;
  /** 32 bytes. */
  key: Buffer;
}

const { Payload: WirePayload } = proto.temporal.api.common.v1;
const SEALED = 'binary/encrypted';
/** Bytes: a new one for each payload, and what proves that nobody changed it. */
const [IV, TAG] = [12, 16];

/**
 * @param keys the first one seals, each opens what it sealed
 * @throws Error (on opening) for a payload that another key sealed, or that was changed
 */
export function createPayloadCodec(keys: [CodecKey, ...CodecKey[]]): PayloadCodec {
  return {
    encode: (payloads) => Promise.resolve(payloads.map((payload) => seal(payload, keys[0]))),
    // Asynchronous, so that what does not open rejects.
    decode: async (payloads) => payloads.map((payload) => (isSealed(payload) ? open(payload, keys) : payload)),
  };
}

const isSealed = ({ metadata }: Payload): boolean => text(metadata?.['encoding']) === SEALED;

function seal(payload: Payload, { name, key }: CodecKey): Payload {
  const iv = randomBytes(IV);
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  const data = Buffer.concat([iv, cipher.update(WirePayload.encode(payload).finish()), cipher.final()]);
  return {
    metadata: { encoding: Buffer.from(SEALED), 'encryption-key-id': Buffer.from(name) },
    data: Buffer.concat([data, cipher.getAuthTag()]),
  };
}

function open({ metadata, data }: Payload, keys: CodecKey[]): Payload {
  const name = text(metadata?.['encryption-key-id']);
  const found = keys.find((key) => key.name === name);
  if (!found)
    throw new Error(
      `a payload is sealed with key "${name}": PRETRAIN_CODEC_KEYS has ${keys.map((key) => key.name).join(', ')}`,
    );
  const bytes = Buffer.from(data ?? []);
  if (bytes.length < IV + TAG) throw new Error(`a payload sealed with key "${name}" is cut short`);
  const decipher = createDecipheriv('aes-256-gcm', found.key, bytes.subarray(0, IV));
  decipher.setAuthTag(bytes.subarray(-TAG));
  try {
    const wire = Buffer.concat([decipher.update(bytes.subarray(IV, -TAG)), decipher.final()]);
    return WirePayload.toObject(WirePayload.decode(wire));
  } catch (error) {
    throw new Error(`a payload sealed with key "${name}" was changed, or is of another key of that name`, {
      cause: error,
    });
  }
}

const text = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString();
