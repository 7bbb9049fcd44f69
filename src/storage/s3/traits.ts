import { GetBucketVersioningCommand, GetObjectLockConfigurationCommand } from "@aws-sdk/client-s3";
import { failureOf } from "./errors.ts";
import type { S3Requests } from "./requests.ts";

/** What a server answers that knows no such thing, and for a bucket that has none. */
const NOT_THERE: readonly (number | undefined)[] = [400, 404, 405, 501];

/** How a bucket keeps what it holds, in words for people; what the key may not see is said to be so. */
export async function bucketTraits(s3: S3Requests, Bucket: string, signal: AbortSignal): Promise<string[]> {
  const [versions, lock] = [await versioningOf(s3, Bucket, signal), await lockRuleOf(s3, Bucket, signal)];
  return [versions, lock].filter((trait) => trait !== undefined);
}

async function versioningOf(s3: S3Requests, Bucket: string, signal: AbortSignal): Promise<string> {
  try {
    const { Status } = await s3.call("look at versioning", { signal }, (options) =>
      s3.client.send(new GetBucketVersioningCommand({ Bucket }), options),
    );
    if (Status === "Enabled") return "keeps versions";
    return Status === "Suspended" ? "keeps old versions, makes no new ones" : "keeps no versions";
  } catch (error) {
    if (NOT_THERE.includes(failureOf(error).status)) return "keeps no versions";
    if (failureOf(error).status === 403) return "the key may not see whether it keeps versions";
    throw error;
  }
}

/** Undefined where no object is locked unless somebody asks for it. */
async function lockRuleOf(s3: S3Requests, Bucket: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const { ObjectLockConfiguration } = await s3.call("look at the lock", { signal }, (options) =>
      s3.client.send(new GetObjectLockConfigurationCommand({ Bucket }), options),
    );
    // A server that knows no locks may answer with something else, a listing, and 200.
    if (ObjectLockConfiguration?.ObjectLockEnabled !== "Enabled") return undefined;
    const rule = ObjectLockConfiguration.Rule?.DefaultRetention;
    if (!rule) return "Object Lock without a default";
    const length = rule.Years ? `${rule.Years} years` : `${rule.Days ?? 0} days`;
    return `locks each object for ${length} (${rule.Mode?.toLowerCase()})`;
  } catch (error) {
    if (NOT_THERE.includes(failureOf(error).status)) return undefined;
    if (failureOf(error).status === 403) return "the key may not see Object Lock";
    throw error;
  }
}
