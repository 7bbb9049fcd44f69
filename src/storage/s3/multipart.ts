import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { Pg321Error } from "../../base/errors.ts";
import { MINUTE_MS } from "../../base/limits.ts";
import { sizeText } from "../../base/text/amounts.ts";
import type { Part } from "../../stream/part.ts";
import { failureOf } from "./errors.ts";
import type { S3Requests } from "./requests.ts";

/** A server may take long to join the parts before it answers. */
const COMPLETE_TIMEOUT_MS = 5 * MINUTE_MS;

/** An object in a bucket, and the words for the operation on it. */
export interface S3Target {
  s3: S3Requests;
  operation: string;
  object: { Bucket: string; Key: string };
}

export async function createUpload(
  { s3, operation, object }: S3Target,
  settings: Omit<CreateMultipartUploadCommandInput, "Bucket" | "Key">,
  signal: AbortSignal,
): Promise<string> {
  const { UploadId } = await s3.call(operation, { signal }, (options) =>
    s3.client.send(new CreateMultipartUploadCommand({ ...settings, ...object }), options),
  );
  if (UploadId !== undefined) return UploadId;
  throw new Pg321Error("storage", `${s3.what(operation)}: the server returned no upload id`);
}

export interface PartsToSend {
  uploadId: string;
  first: Part;
  rest: AsyncGenerator<Part>;
  maxParts: number;
  maxParallelParts: number;
  /** Aborted with the error of the first part that fails; `rest` must end when it aborts. */
  stop: AbortController;
  signal: AbortSignal;
  onSent: (bytes: number) => void;
}

/** Sends every part and releases it. When the promise settles, no request is under way any more. */
export async function sendParts(
  target: S3Target,
  send: PartsToSend,
): Promise<{ completed: CompletedPart[]; sizeBytes: number }> {
  const completed: CompletedPart[] = [];
  const underWay = new Set<Promise<void>>();
  let sizeBytes = 0;
  const begin = (part: Part) => {
    const number = completed.push({}) as number;
    sizeBytes += part.bytes.length;
    const sent = sendPart(target, send, number, part)
      .then((done) => {
        completed[number - 1] = done;
        send.onSent(part.bytes.length);
      })
      .catch((error) => send.stop.abort(error))
      .finally(() => {
        part.release();
        underWay.delete(sent);
      });
    underWay.add(sent);
  };
  try {
    begin(send.first);
    for (;;) {
      if (underWay.size >= send.maxParallelParts) await Promise.race(underWay);
      const next = await send.rest.next();
      if (next.done) break;
      const misfit = misfitOf(next.value, send, sizeBytes, completed.length);
      if (misfit !== undefined) {
        next.value.release();
        throw new Pg321Error("storage", `${target.s3.what(target.operation)}: ${misfit}`, {
          hint: "pg321 repair can copy it from another storage in larger parts",
        });
      }
      begin(next.value);
    }
    await Promise.all(underWay);
    send.signal.throwIfAborted();
    return { completed, sizeBytes };
  } catch (error) {
    send.stop.abort(error);
    await Promise.all(underWay);
    throw error;
  }
}

function misfitOf(part: Part, send: PartsToSend, sizeBytes: number, count: number): string | undefined {
  // R2 and others join only parts of the same size.
  if (sizeBytes !== count * send.first.bytes.length) return "a part came after the last one";
  if (part.bytes.length > send.first.bytes.length) return "a part is larger than the first one";
  if (count < send.maxParts) return undefined;
  const limitBytes = send.maxParts * send.first.bytes.length;
  return `larger than ${sizeText(limitBytes)}, the most that ${send.maxParts} parts of this size can hold`;
}

async function sendPart(
  { s3, operation, object }: S3Target,
  { uploadId, signal }: PartsToSend,
  number: number,
  part: Part,
): Promise<CompletedPart> {
  const input = {
    ...object,
    UploadId: uploadId,
    PartNumber: number,
    Body: part.bytes,
    ContentLength: part.bytes.length,
    ContentMD5: part.md5(),
  };
  // The caller watches the progress of bodies, so there is no time limit here.
  const { ETag } = await s3.call(operation, { signal, timeoutMs: 0 }, (options) =>
    s3.client.send(new UploadPartCommand(input), options),
  );
  if (ETag !== undefined) return { PartNumber: number, ETag };
  throw new Pg321Error("storage", `${s3.what(operation)}: the server returned no ETag for part ${number}`);
}

/**
 * Returns the id of the version, in a bucket that keeps versions. The SDK parses the body of the answer and throws
 * if it holds an error, even if the status is 200.
 */
export async function completeUpload(
  { s3, operation, object }: S3Target,
  uploadId: string,
  parts: CompletedPart[],
  ifNoneMatch: { IfNoneMatch?: "*" },
  signal: AbortSignal,
): Promise<string | undefined> {
  const input = { ...object, ...ifNoneMatch, UploadId: uploadId, MultipartUpload: { Parts: parts } };
  const { VersionId } = await s3.call(operation, { signal, timeoutMs: COMPLETE_TIMEOUT_MS }, (options) =>
    s3.client.send(new CompleteMultipartUploadCommand(input), options),
  );
  return VersionId;
}

/** Returns false if there is no such upload: it was completed or aborted before. */
export async function abortUpload(
  { s3, operation, object }: S3Target,
  uploadId: string,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await s3.call(operation, { signal }, (options) =>
      s3.client.send(new AbortMultipartUploadCommand({ ...object, UploadId: uploadId }), options),
    );
    return true;
  } catch (error) {
    if (isNoSuchUpload(error)) return false;
    throw error;
  }
}

export function isNoSuchUpload(error: unknown): boolean {
  const { code, status } = failureOf(error);
  return status === 404 && code !== "NoSuchBucket";
}
