import {
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
} from "@aws-sdk/client-s3";
import { Pg321Error } from "../../base/errors.ts";
import { compareKeys, fullKey } from "../key.ts";
import type { ListOptions, StoredObject } from "../storage.ts";
import { failureOf, isRetryable } from "./errors.ts";
import type { S3Requests } from "./requests.ts";

/** A listing in a bucket: everything under the storage's prefix that begins with `wanted`. */
export interface Listing {
  s3: S3Requests;
  bucket: string;
  /** The storage's prefix. */
  prefix: string;
  wanted: string;
}

/** Where a listing goes on: by the server's token, or after a key. */
interface Place {
  token: string | undefined;
  /** The full name of the last object that was listed. */
  last: string | undefined;
  /** Names up to this one are skipped until one is further: the server may not begin after a name, although it was asked. */
  skipped: string | undefined;
  /** Whether it has refused a token, and no further object has come since. */
  hasRefused: boolean;
  /** Whether the names have come in order so far. Only then may the listing go on after a name. */
  isOrdered: boolean;
}

/**
 * Lists objects page by page. A page that fails is requested again; if the server refuses its own token meanwhile
 * (they expire), the listing goes on after the last name. Never ends early without an error.
 */
export async function* listObjects(
  { s3, bucket, prefix, wanted }: Listing,
  { after, pageSize }: ListOptions,
  signal: AbortSignal,
): AsyncGenerator<StoredObject> {
  const operation = `list ${wanted}`;
  const base = fullKey(prefix, "");
  const input = { Bucket: bucket, Prefix: base + wanted, ...(pageSize && { MaxKeys: pageSize }) };
  const last = after && base + after;
  const place: Place = { token: undefined, last, skipped: last, hasRefused: false, isOrdered: true };
  for (;;) {
    const { token } = place;
    const page = await nextPage({ s3, operation, input }, place, signal);
    let isFurther = false;
    for (const { Key, Size, LastModified } of page.Contents ?? []) {
      if (Key === undefined || (place.skipped !== undefined && compareKeys(Key, place.skipped) <= 0))
        continue;
      isFurther = true;
      place.skipped = undefined;
      place.hasRefused = false;
      place.isOrdered &&= place.last === undefined || compareKeys(place.last, Key) < 0;
      place.last = Key;
      if (!Key.startsWith(input.Prefix) || Key === base) continue;
      yield { key: Key.slice(base.length), sizeBytes: Size ?? 0, modifiedAt: LastModified ?? new Date(0) };
    }
    if (!page.IsTruncated) return;
    place.token = page.NextContinuationToken;
    // Without a token it can go on only after the last name.
    const canContinue = place.token === undefined ? isFurther && place.isOrdered : place.token !== token;
    if (!canContinue)
      throw new Pg321Error("storage", `${s3.what(operation)}: the server's list has no end`, {
        hint: "the server repeats a page of its list, or does not say how to get the next one; ask its provider",
      });
  }
}

interface Asked {
  s3: S3Requests;
  operation: string;
  input: { Bucket: string; Prefix: string; MaxKeys?: number };
}

async function nextPage(
  { s3, operation, input }: Asked,
  place: Place,
  signal: AbortSignal,
): Promise<ListObjectsV2CommandOutput> {
  const request = (from: { ContinuationToken?: string; StartAfter?: string }) =>
    s3.call(operation, { signal }, async (options) => {
      const page = await s3.client.send(new ListObjectsV2Command({ ...input, ...from }), options);
      // Every server sends it; a page that a gateway puts in between, or the beginning of one, lacks it.
      if (page.IsTruncated === undefined)
        throw new Pg321Error("storage", `${s3.what(operation)}: the answer is not a list of objects`, {
          hint: "check the endpoint, and what stands between this host and the server",
          retryable: true,
        });
      return page;
    });
  const { token, last, isOrdered } = place;
  const afterLast = async () => {
    place.skipped = last;
    if (last === undefined) return request({});
    try {
      return await request({ StartAfter: last });
    } catch (error) {
      const isUnknown = NOT_SUPPORTED.includes(failureOf(error).status) && !isRetryable(error);
      if (signal.aborted || !isUnknown) throw error;
      return request({});
    }
  };
  if (token === undefined) return afterLast();
  try {
    return await request({ ContinuationToken: token });
  } catch (error) {
    if (signal.aborted || !isOrdered || isRetryable(error) || isForbidden(error)) throw error;
    // It would give the same page and the next token, without an end.
    if (place.hasRefused) throw error;
    place.hasRefused = true;
    // The token has expired, or another server behind the same address does not know it.
    place.token = undefined;
    return afterLast();
  }
}

/** Answers of servers that do not know a parameter. */
const NOT_SUPPORTED: readonly (number | undefined)[] = [400, 501];

function isForbidden(error: unknown): boolean {
  return [401, 403].includes(failureOf(error).status ?? 0);
}

export interface OpenUpload {
  /** The object's full name. */
  name: string;
  id: string;
  beganAt: Date;
}

/** The open multipart uploads whose full names begin with `prefix`. */
export async function* listUploads(
  { s3, bucket }: Pick<Listing, "s3" | "bucket">,
  operation: string,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<OpenUpload> {
  let from: { KeyMarker?: string; UploadIdMarker?: string } = {};
  for (;;) {
    const input = { Bucket: bucket, Prefix: prefix, ...from };
    const page = await s3.call(operation, { signal }, (options) =>
      s3.client.send(new ListMultipartUploadsCommand(input), options),
    );
    for (const { Key, UploadId, Initiated } of page.Uploads ?? [])
      if (Key !== undefined && UploadId !== undefined)
        yield { name: Key, id: UploadId, beganAt: Initiated ?? new Date(0) };
    const { IsTruncated, NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page;
    if (!IsTruncated || !KeyMarker) return;
    if (KeyMarker === from.KeyMarker && UploadIdMarker === from.UploadIdMarker) return;
    from = { KeyMarker, ...(UploadIdMarker && { UploadIdMarker }) };
  }
}
