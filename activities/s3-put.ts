/** Files into a bucket, in parts where one is large, and read back: not every server of S3's interface checks digests. */
import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { ManifestFile } from './artifact.js';
import { failure } from './failures.js';
import { asked, s3 } from './s3.js';

/** Of which there may be 10,000. */
const PART_BYTES = 64 * 2 ** 20;

/** Objects of a bucket below a prefix, by the rest of their keys. */
export function openBucket(node: string, bucket: string, prefix: string, signal: AbortSignal) {
  const placeOf = (name: string) => {
    const key = [...prefix.split('/').filter(Boolean), name].join('/');
    const address = `s3://${bucket}/${key}`;
    const ask: Ask = (call) => asked(node, address, signal, call);
    return { at: { Bucket: bucket, Key: key }, address, ask };
  };
  const options = { abortSignal: signal };
  return {
    read: (name: string): Promise<string | undefined> => {
      const { at, ask } = placeOf(name);
      return ask(async () => {
        const found = await s3().send(new GetObjectCommand(at), options).catch(ifMissing);
        return found?.Body?.transformToString();
      });
    },
    write: async (name: string, text: string): Promise<void> => {
      const { at, ask } = placeOf(name);
      await ask(() => s3().send(new PutObjectCommand({ ...at, Body: text }), options));
    },
    remove: async (name: string): Promise<void> => {
      const { at, ask } = placeOf(name);
      await ask(() => s3().send(new DeleteObjectCommand(at), options));
    },
    putProven: async (from: string, file: ManifestFile): Promise<void> => {
      const { at, address, ask } = placeOf(file.path);
      const isThere = async () => {
        const head = await ask(() => s3().send(new HeadObjectCommand(at), options).catch(ifMissing));
        return head?.ContentLength === file.size && (await digestAt(at, ask, signal)) === file.sha256;
      };
      if (await isThere()) return;
      const handle = await open(from, 'r');
      try {
        if (file.size <= PART_BYTES) {
          const Body = await readPart(handle, 0, file.size);
          await ask(() => s3().send(new PutObjectCommand({ ...at, Body }), options));
        } else await putInParts(handle, file.size, at, ask, signal);
      } finally {
        await handle.close();
      }
      if (await isThere()) return;
      throw failure('DataCorrupt', `${node}: ${address}: what was put there is not what is read from it`, {
        details: { node, address },
      });
    },
  };
}

type At = { Bucket: string; Key: string };
type Ask = <T>(call: () => Promise<T>) => Promise<T>;

const ifMissing = (error: unknown): undefined => {
  if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 404) return undefined;
  throw error;
};

async function digestAt(at: At, ask: Ask, signal: AbortSignal): Promise<string> {
  return ask(async () => {
    const { Body } = await s3().send(new GetObjectCommand(at), { abortSignal: signal });
    const hash = createHash('sha256');
    for await (const chunk of Body as AsyncIterable<Uint8Array>) hash.update(chunk);
    return hash.digest('hex');
  });
}

async function putInParts(file: FileHandle, size: number, at: At, ask: Ask, signal: AbortSignal): Promise<void> {
  const options = { abortSignal: signal };
  const { UploadId } = await ask(() => s3().send(new CreateMultipartUploadCommand(at), options));
  const Parts: { PartNumber: number; ETag: string | undefined }[] = [];
  const length = Math.max(PART_BYTES, Math.ceil(size / 10_000));
  try {
    for (let from = 0; from < size; from += length) {
      const Body = await readPart(file, from, Math.min(length, size - from));
      const PartNumber = Parts.length + 1;
      const { ETag } = await ask(() =>
        s3().send(new UploadPartCommand({ ...at, UploadId, PartNumber, Body }), options),
      );
      Parts.push({ PartNumber, ETag });
    }
    const MultipartUpload = { Parts };
    await ask(() => s3().send(new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload }), options));
  } catch (error) {
    // Parts that are never put together are paid for.
    await s3()
      .send(new AbortMultipartUploadCommand({ ...at, UploadId }))
      .catch(() => undefined);
    throw error;
  }
}

async function readPart(file: FileHandle, from: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let read = 0;
  while (read < length) {
    const { bytesRead } = await file.read(bytes, read, length - read, from + read);
    if (bytesRead === 0) throw new Error(`the file ended after ${from + read} bytes`);
    read += bytesRead;
  }
  return bytes;
}
