import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { systemClock } from "../../../src/base/clock.ts";
import { PART_BYTES_MIN } from "../../../src/base/limits.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Secret } from "../../../src/base/secret.ts";
import type { S3StorageConfig } from "../../../src/config/config.ts";
import { S3Storage } from "../../../src/storage/s3/s3.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import type { S3Lab } from "../../lab/servers/s3.ts";
import type { StorageUnderTest } from "../../suites/storage-conformance.ts";

export function s3Config(lab: S3Lab, bucket: string, change: Partial<S3StorageConfig> = {}): S3StorageConfig {
  return {
    type: "s3",
    name: "lab",
    off_site: true,
    min_rate_bytes_per_second: 0,
    rate_limit_bytes_per_second: 0,
    stall_timeout_ms: 10_000,
    attempts: 3,
    keep: { days: 7 },
    expire: "delete",
    provider: "generic",
    endpoint: lab.endpoint,
    region: lab.region,
    bucket,
    prefix: "",
    access_key_id: new Secret(lab.access_key_id),
    secret_access_key: new Secret(lab.secret_access_key),
    session_token: undefined,
    path_style: true,
    storage_class: undefined,
    max_parallel_parts: 2,
    max_parts: 10_000,
    ...change,
  };
}

export function openS3(lab: S3Lab, bucket: string, change: Partial<S3StorageConfig> = {}): Storage {
  return new S3Storage(s3Config(lab, bucket, change), { log: silentLog, clock: systemClock });
}

/** Keys of the open multipart uploads. */
export async function openUploads(lab: S3Lab, bucket: string): Promise<string[]> {
  const { Uploads } = await lab.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  return (Uploads ?? []).map(({ Key }) => Key ?? "");
}

export async function s3UnderTest(
  lab: S3Lab,
  change: Partial<S3StorageConfig> = {},
): Promise<StorageUnderTest> {
  const bucket = await lab.makeBucket();
  const storage = openS3(lab, bucket, change);
  const base = change.prefix ? `${change.prefix}/` : "";
  return {
    storage,
    partBytes: PART_BYTES_MIN,
    dangling: () => openUploads(lab, bucket),
    crashDuringPut: async (key) => {
      const object = { Bucket: bucket, Key: base + key };
      const { UploadId } = await lab.client.send(new CreateMultipartUploadCommand(object));
      const part = { ...object, UploadId, PartNumber: 1, Body: new Uint8Array(100) };
      await lab.client.send(new UploadPartCommand(part));
      return UploadId;
    },
    seed: (key, Body) => lab.client.send(new PutObjectCommand({ Bucket: bucket, Key: base + key, Body })),
    close: async () => storage[Symbol.asyncDispose](),
  };
}
