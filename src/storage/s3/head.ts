import { GetObjectCommand, HeadObjectCommand, type HeadObjectCommandOutput } from "@aws-sdk/client-s3";
import { failureOf } from "./errors.ts";
import type { S3Target } from "./multipart.ts";

/** Refusals with more than one cause: the answer to a HEAD has no body that would tell which. */
const REFUSED: readonly (number | undefined)[] = [301, 307, 400, 401, 403];

/** Stands for "as long as a legal hold is on it", which has no date. */
const LEGAL_HOLD_END = new Date("9999-12-31T00:00:00Z");

/** The object as the server shows it, or undefined when there is none. */
export async function headObject(
  target: S3Target,
  signal: AbortSignal,
): Promise<HeadObjectCommandOutput | undefined> {
  const { s3, operation, object } = target;
  try {
    return await s3.call(operation, { signal }, (options) =>
      s3.client.send(new HeadObjectCommand(object), options),
    );
  } catch (error) {
    const { status } = failureOf(error);
    if (status === 404) return undefined;
    throw REFUSED.includes(status) ? await reasonOf(target, error, signal) : error;
  }
}

/** Until when Object Lock keeps an object from being deleted, as far as its HEAD shows. */
export function lockOf(head: HeadObjectCommandOutput): Date | undefined {
  return head.ObjectLockLegalHoldStatus === "ON" ? LEGAL_HOLD_END : head.ObjectLockRetainUntilDate;
}

/** The refusal of a GET of one byte, which takes the same right as the HEAD; that of the HEAD where it tells no more. */
async function reasonOf(
  { s3, operation, object }: S3Target,
  refusal: unknown,
  signal: AbortSignal,
): Promise<unknown> {
  try {
    const { Body } = await s3.call(operation, { signal }, (options) =>
      s3.client.send(new GetObjectCommand({ ...object, Range: "bytes=0-0" }), options),
    );
    await Body?.transformToWebStream().cancel();
    return refusal;
  } catch (error) {
    signal.throwIfAborted();
    return REFUSED.includes(failureOf(error).status) ? error : refusal;
  }
}
