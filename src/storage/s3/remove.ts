import {
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  ListObjectVersionsCommand,
} from "@aws-sdk/client-s3";
import { Pg321Error } from "../../base/errors.ts";
import type { Removal } from "../storage.ts";
import { failureOf } from "./errors.ts";
import { headObject, lockOf } from "./head.ts";
import type { S3Target } from "./multipart.ts";

/** Pages of versions of one key, up to 1,000 each, after which something must be wrong. */
const VERSION_PAGES_MAX = 100;
/** Answers of a server without versions, and to an access key that may not list them. */
const NO_VERSIONS: readonly (number | undefined)[] = [400, 403, 405, 501];

interface Versions {
  /**
   * Oldest first, so that the readable one is deleted last. Undefined for the only version in a bucket that keeps
   * none.
   */
  ids: (string | undefined)[];
  markers: (string | undefined)[];
  /** Whether the object can be read, that is, is not hidden by a delete marker. */
  isVisible: boolean;
  hasMore: boolean;
}

/**
 * Removes every version of an object and its delete markers. If the access key may not, it hides the object behind
 * a delete marker, once. If any version is locked it removes nothing.
 */
export async function removeVersions(target: S3Target, signal: AbortSignal): Promise<Removal> {
  for (let page = 0; page < VERSION_PAGES_MAX; page++) {
    const versions = await versionsOf(target, signal);
    if (versions === undefined) return hide(target, signal);
    const { ids, markers, isVisible, hasMore } = versions;
    // If there is only one, the refusal of its deletion shows the lock.
    const lockedUntil = ids.length > 1 ? await lockOfAny(target, ids, signal) : undefined;
    if (lockedUntil) return { outcome: "locked", lockedUntil };
    for (const version of [...ids, ...markers]) {
      const end = await remove(target, { version, isVisible }, signal);
      if (end) return end;
    }
    if (hasMore) continue;
    // On some servers the list lags behind the objects.
    const head = await headObject(target, signal);
    if (!head) return { outcome: "removed" };
    const end = await remove(target, { version: head.VersionId, isVisible: true }, signal);
    if (end) return end;
  }
  throw new Pg321Error(
    "storage",
    `${target.s3.what(target.operation)}: its versions are still listed after they were deleted`,
  );
}

/** Removes the visible version of an object; if the access key may not, hides it. */
export async function removeVersion(
  target: S3Target,
  version: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const refusal = await refusalOf(target, version, signal);
  if (refusal === undefined) return;
  if (version === undefined || version === "null") throw refusal;
  await hide(target, signal);
}

/** Undefined if the version is gone, otherwise the result for the object. */
async function remove(
  target: S3Target,
  { version, isVisible }: { version: string | undefined; isVisible: boolean },
  signal: AbortSignal,
): Promise<Removal | undefined> {
  const refusal = await refusalOf(target, version, signal);
  if (refusal === undefined) return undefined;
  const lockedUntil = await lockOfVersion(target, version, signal);
  if (lockedUntil) return { outcome: "locked", lockedUntil };
  // In a bucket without versions it cannot be hidden.
  if (version === undefined || version === "null") throw refusal;
  return isVisible ? hide(target, signal) : { outcome: "hidden" };
}

/**
 * Versions and delete markers of exactly this object. Its name sorts before all longer ones, so they are on the
 * first page; that page is read again after they are deleted, because Swift's paging fails.
 */
async function versionsOf(
  { s3, operation, object }: S3Target,
  signal: AbortSignal,
): Promise<Versions | undefined> {
  try {
    const page = await s3.call(operation, { signal }, (options) =>
      s3.client.send(new ListObjectVersionsCommand({ Bucket: object.Bucket, Prefix: object.Key }), options),
    );
    const ofKey = ({ Key }: { Key?: string | undefined }) => Key === object.Key;
    const [found, markers] = [(page.Versions ?? []).filter(ofKey), (page.DeleteMarkers ?? []).filter(ofKey)];
    const countAll = (page.Versions ?? []).length + (page.DeleteMarkers ?? []).length;
    return {
      ids: found.map(({ VersionId }) => VersionId).reverse(),
      markers: markers.map(({ VersionId }) => VersionId),
      isVisible: found.some(({ IsLatest }) => IsLatest === true),
      hasMore: page.IsTruncated === true && found.length + markers.length === countAll,
    };
  } catch (error) {
    if (NO_VERSIONS.includes(failureOf(error).status)) return undefined;
    throw error;
  }
}

/** The server's refusal of a deletion; undefined if the version is gone. */
async function refusalOf(
  target: S3Target,
  version: string | undefined,
  signal: AbortSignal,
): Promise<unknown> {
  try {
    await deleteVersion(target, version, signal);
    return undefined;
  } catch (error) {
    if (failureOf(error).status === 403) return error;
    throw error;
  }
}

/** Returns true if the server added a delete marker instead of deleting the object. */
export async function deleteVersion(
  { s3, operation, object }: S3Target,
  versionId: string | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const version = versionId === undefined ? {} : { VersionId: versionId };
  try {
    const { DeleteMarker } = await s3.call(operation, { signal }, (options) =>
      s3.client.send(new DeleteObjectCommand({ ...object, ...version }), options),
    );
    return DeleteMarker === true;
  } catch (error) {
    if (failureOf(error).status === 404 && failureOf(error).code !== "NoSuchBucket") return false;
    throw error;
  }
}

/** The end of the last lock of these versions, as far as the access key may see it. */
async function lockOfAny(
  target: S3Target,
  versions: readonly (string | undefined)[],
  signal: AbortSignal,
): Promise<Date | undefined> {
  let latest: Date | undefined;
  for (const version of versions) {
    const lockedUntil = await lockOfVersion(target, version, signal);
    if (lockedUntil && (!latest || lockedUntil > latest)) latest = lockedUntil;
  }
  return latest;
}

/** Undefined if there is no lock or it has ended. */
async function lockOfVersion(
  target: S3Target,
  version: string | undefined,
  signal: AbortSignal,
): Promise<Date | undefined> {
  try {
    const object = version === undefined ? target.object : { ...target.object, VersionId: version };
    const head = await headObject({ ...target, object }, signal);
    const lockedUntil = head && lockOf(head);
    return lockedUntil && lockedUntil > target.s3.serverTime() ? lockedUntil : undefined;
  } catch (error) {
    // The access key may not read versions, or it is a delete marker, which cannot be read.
    if ([400, 403, 405].includes(failureOf(error).status ?? 0)) return undefined;
    throw error;
  }
}

/** A plain delete, at most once: each further one would add another delete marker. */
async function hide(target: S3Target, signal: AbortSignal): Promise<Removal> {
  const isHidden = (await headObject(target, signal))
    ? await deleteVersion(target, undefined, signal)
    : await keepsVersions(target, signal);
  return { outcome: isHidden ? "hidden" : "removed" };
}

/** Whether an unreadable object may have versions left; true if the access key may not read the setting. */
async function keepsVersions({ s3, operation, object }: S3Target, signal: AbortSignal): Promise<boolean> {
  try {
    const { Status } = await s3.call(operation, { signal }, (options) =>
      s3.client.send(new GetBucketVersioningCommand({ Bucket: object.Bucket }), options),
    );
    return Status !== undefined;
  } catch (error) {
    const { status } = failureOf(error);
    if (status === 403) return true;
    if (NO_VERSIONS.includes(status)) return false;
    throw error;
  }
}

/** The versions of an object that are hidden by a newer one or by a delete marker, newest first. */
export async function olderVersions(
  { s3, operation, object }: S3Target,
  signal: AbortSignal,
): Promise<{ VersionId: string; sizeBytes: number }[]> {
  try {
    const page = await s3.call(operation, { signal }, (options) =>
      s3.client.send(new ListObjectVersionsCommand({ Bucket: object.Bucket, Prefix: object.Key }), options),
    );
    return (page.Versions ?? []).flatMap(({ Key, VersionId, IsLatest, Size }) =>
      Key === object.Key && VersionId !== undefined && IsLatest === false
        ? [{ VersionId, sizeBytes: Size ?? 0 }]
        : [],
    );
  } catch (error) {
    if (NO_VERSIONS.includes(failureOf(error).status)) return [];
    throw error;
  }
}
