import { GetObjectCommand, HeadObjectCommand, type HeadObjectCommandOutput } from "@aws-sdk/client-s3";
import { failureOf } from "./errors.ts";
import type { S3Target } from "./multipart.ts";

/** Refusals with several possible causes: the answer to a HEAD has no body that names one. */
const REFUSED: readonly (number | undefined)[] = [301, 307, 400, 401, 403];

/** Means "while a legal hold is on it", which has no date. */
const LEGAL_HOLD_END = new Date("9999-12-31T00:00:00Z");

/** The server's HEAD of the object, or undefined if there is none. */
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

/** Until when Object Lock protects an object from deletion, as far as its HEAD shows. */
export function lockOf(head: HeadObjectCommandOutput): Date | undefined {
  return head.ObjectLockLegalHoldStatus === "ON" ? LEGAL_HOLD_END : head.ObjectLockRetainUntilDate;
}

/**
 * The refusal of a GET of one byte, which needs the same right as the HEAD and has a body; the HEAD's own refusal
 * if the GET is not refused.
 */
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
