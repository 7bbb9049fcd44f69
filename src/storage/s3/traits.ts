import { GetBucketVersioningCommand, GetObjectLockConfigurationCommand } from "@aws-sdk/client-s3";
import { failureOf } from "./errors.ts";
import type { S3Requests } from "./requests.ts";

/** Answers of servers without this feature, and for buckets without the setting. */
const NOT_THERE: readonly (number | undefined)[] = [400, 404, 405, 501];

/**
 * How a bucket keeps its objects (versions, locks), in words for people; says so if the access key may not read a
 * setting.
 */
export async function bucketTraits(s3: S3Requests, Bucket: string, signal: AbortSignal): Promise<string[]> {
  const [versions, lock] = [await versioningOf(s3, Bucket, signal), await lockRuleOf(s3, Bucket, signal)];
  return [versions, lock].filter((trait) => trait !== undefined);
}

async function versioningOf(s3: S3Requests, Bucket: string, signal: AbortSignal): Promise<string> {
  try {
    const { Status } = await s3.call("read the versioning setting", { signal }, (options) =>
      s3.client.send(new GetBucketVersioningCommand({ Bucket }), options),
    );
    if (Status === "Enabled") return "keeps versions";
    return Status === "Suspended"
      ? "versioning suspended: keeps old versions, makes no new ones"
      : "keeps no versions";
  } catch (error) {
    if (NOT_THERE.includes(failureOf(error).status)) return "keeps no versions";
    if (failureOf(error).status === 403) return "the access key may not read the versioning setting";
    throw error;
  }
}

/** Undefined if objects are locked only on request. */
async function lockRuleOf(s3: S3Requests, Bucket: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const { ObjectLockConfiguration } = await s3.call("read the Object Lock setting", { signal }, (options) =>
      s3.client.send(new GetObjectLockConfigurationCommand({ Bucket }), options),
    );
    // A server without locks may answer with something else, such as a listing, and 200.
    if (ObjectLockConfiguration?.ObjectLockEnabled !== "Enabled") return undefined;
    const rule = ObjectLockConfiguration.Rule?.DefaultRetention;
    if (!rule) return "Object Lock without a default retention";
    const length = rule.Years ? `${rule.Years} years` : `${rule.Days ?? 0} days`;
    return `locks each object for ${length} (${rule.Mode?.toLowerCase()})`;
  } catch (error) {
    if (NOT_THERE.includes(failureOf(error).status)) return undefined;
    if (failureOf(error).status === 403) return "the access key may not read the Object Lock setting";
    throw error;
  }
}
