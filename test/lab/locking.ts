import { CreateBucketCommand, GetObjectRetentionCommand } from "@aws-sdk/client-s3";
import { DAY_MS } from "../../src/base/limits.ts";
import type { CopyRecord } from "../../src/catalog/records.ts";
import type { Retained, RetainedOptions } from "./retained.ts";
import { retained } from "./retained.ts";
import { rgw } from "./servers/s3.ts";
import type { PostgresForTests } from "./servers/use-postgres.ts";

/** Settings of a bucket whose copies are locked for three days. */
export const LOCK = { "lock.mode": "governance", "lock.days": 3, "keep.days": 30, attempts: 1 };

/** A new bucket with Object Lock on Ceph RGW. */
export async function lockingBucket(): Promise<string> {
  const Bucket = `locks-${crypto.randomUUID()}`;
  const { client } = await rgw();
  await client.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: true }));
  return Bucket;
}

/** An installation with a disk, and a bucket with Object Lock. */
export async function locked(
  postgres: PostgresForTests,
  change: RetainedOptions = {},
): Promise<{ at: Retained; bucket: string }> {
  const bucket = await lockingBucket();
  const options = { storages: ["disk", "r2"], buckets: { r2: bucket }, settings: { r2: LOCK } } as const;
  return { at: await retained(postgres, { ...options, ...change }), bucket };
}

/** The end of the lock of each object and manifest of a backup, as the server says, in days from now. */
export async function lockDays(at: Retained, bucket: string, id: string): Promise<number[]> {
  const { client } = await rgw();
  const days: number[] = [];
  for (const key of await at.objects("r2", id)) {
    const { Retention } = await client.send(
      new GetObjectRetentionCommand({ Bucket: bucket, Key: `pg321/${key}` }),
    );
    days.push(((Retention?.RetainUntilDate?.getTime() ?? 0) - Date.now()) / DAY_MS);
  }
  return days;
}

export async function copyIn(at: Retained, storage: string, id: string): Promise<CopyRecord | undefined> {
  return (await at.copies(id)).find((one) => one.storage === storage);
}
