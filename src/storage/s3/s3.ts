import { GetObjectCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { sizeText, twoSizes } from "../../base/text/amounts.ts";
import type { S3StorageConfig } from "../../config/config.ts";
import { triesConditionalPut } from "../../config/s3-profiles.ts";
import type { Part } from "../../stream/part.ts";
import { checkKey, fullKey } from "../key.ts";
import type { PlaceNames } from "../place.ts";
import { unlessStalled } from "../stall.ts";
import type {
  ListOptions,
  LockAnswer,
  ObjectLock,
  OlderVersion,
  OwnKeys,
  PutOptions,
  Removal,
  Storage,
  StoredObject,
} from "../storage.ts";
import { failureOf } from "./errors.ts";
import { headObject, lockOf } from "./head.ts";
import { type Listing, listObjects, listUploads, type OpenUpload } from "./list.ts";
import { ObjectLocks } from "./locks.ts";
import { abortUpload, type S3Target } from "./multipart.ts";
import { S3Put, type S3PutSettings } from "./put.ts";
import { olderVersions, removeVersions } from "./remove.ts";
import { S3Requests } from "./requests.ts";
import { bucketTraits } from "./traits.ts";

/** Bytes read of an object outside the prefix. */
const AROUND_BYTES_MAX = 65_536;
/** Old uploads whose keys are looked up together. */
const UPLOADS_AT_ONCE = 1_000;

/** A bucket, or the part of it under a prefix, on any S3 server. */
export class S3Storage implements Storage {
  readonly name: string;
  readonly settings: S3StorageConfig;
  readonly #s3: S3Requests;
  readonly #clock: Clock;
  readonly #put: S3PutSettings;
  readonly #locks: ObjectLocks;
  readonly #listing: Omit<Listing, "wanted">;
  #isBucketKnown = false;

  constructor(config: S3StorageConfig, deps: { log: Log; clock: Clock }) {
    this.name = config.name;
    this.settings = config;
    this.#s3 = new S3Requests(config, deps);
    this.#clock = deps.clock;
    this.#locks = new ObjectLocks(this.#s3, config.bucket, deps.clock);
    this.#listing = { s3: this.#s3, bucket: config.bucket, prefix: config.prefix };
    this.#put = {
      log: deps.log,
      clock: deps.clock,
      storageClass: config.storage_class,
      maxParallelParts: config.max_parallel_parts,
      maxParts: config.max_parts,
      locks: this.#locks,
      conditional: { isTried: triesConditionalPut(config.provider) },
    };
  }

  describe(): Record<string, string> {
    const { provider, endpoint, region, bucket, prefix } = this.settings;
    return { type: this.settings.type, provider, endpoint, region, bucket, prefix };
  }

  async place(): Promise<PlaceNames> {
    const { endpoint, bucket, prefix } = this.settings;
    const { host, pathname } = new URL(endpoint);
    return [`s3://${host}${pathname.replace(/\/+$/, "")}/${fullKey(bucket, prefix)}`.replace(/\/$/, "")];
  }

  async around(key: string, signal: AbortSignal): Promise<Uint8Array[]> {
    const folders = this.settings.prefix.split("/").slice(0, -1);
    const prefixes =
      this.settings.prefix === "" ? [] : ["", ...folders.map((_, i) => folders.slice(0, i + 1).join("/"))];
    const found: Uint8Array[] = [];
    for (const prefix of prefixes) {
      const object = {
        Bucket: this.settings.bucket,
        Key: fullKey(prefix, key),
        Range: rangeHeader(0, AROUND_BYTES_MAX),
      };
      try {
        const output = await this.#s3.call(`search shorter prefixes for ${key}`, { signal }, (options) =>
          this.#s3.client.send(new GetObjectCommand(object), options),
        );
        if (output.Body) found.push(await output.Body.transformToByteArray());
      } catch {
        // There is none, or the access key may not read there.
        signal.throwIfAborted();
      }
    }
    return found;
  }

  async put(key: string, body: AsyncIterable<Part>, options: PutOptions): Promise<StoredObject> {
    return { key, ...(await new S3Put(this.#put, this.#target("put", key), options).run(body)) };
  }

  /** Refuses a key when it is read, as every storage does. */
  async *get(
    key: string,
    range: { start: number; length?: number } | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    yield* this.#read(this.#target("get", key), range, signal);
  }

  async older(key: string, signal: AbortSignal): Promise<OlderVersion[]> {
    const target = this.#target("get", key);
    const found = await olderVersions(target, signal);
    return found.map(({ VersionId, sizeBytes }) => {
      const object = { ...target.object, VersionId };
      return { sizeBytes, read: (signal) => this.#read({ ...target, object }, undefined, signal) };
    });
  }

  async *#read(
    { operation, object }: S3Target,
    range: { start: number; length?: number } | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const what = this.#s3.what(operation);
    const { start = 0, length } = range ?? {};
    if (length === 0) return;
    const Range = start === 0 && length === undefined ? {} : { Range: rangeHeader(start, length) };
    const stall = new AbortController();
    const output = await this.#s3
      .call(operation, { signal: AbortSignal.any([signal, stall.signal]) }, (options) =>
        this.#s3.client.send(new GetObjectCommand({ ...object, ...Range }), options),
      )
      .catch((error) => {
        // A range that begins at or after the end is empty.
        if (failureOf(error).status === 416) return undefined;
        throw error;
      });
    if (output?.Body === undefined) return;
    let received = 0;
    const timeoutMs = this.settings.stall_timeout_ms;
    const stalled = () =>
      new Pg321Error("storage", `${what}: no data for ${timeoutMs / 1000} s after ${sizeText(received)}`, {
        hint: "check the network to the storage, or raise its stall_timeout",
        retryable: true,
      });
    try {
      const body = output.Body.transformToWebStream() as AsyncIterable<Uint8Array>;
      for await (const chunk of unlessStalled(body, { timeoutMs, clock: this.#clock, stalled })) {
        received += chunk.length;
        yield chunk;
      }
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      stall.abort();
      if (error instanceof Pg321Error) throw error;
      throw new Pg321Error("storage", `${what}: connection lost after ${sizeText(received)}`, {
        cause: error,
        retryable: true,
      });
    }
    if (received === (output.ContentLength ?? received)) return;
    const [came, announced] = twoSizes(received, output.ContentLength ?? received);
    throw new Pg321Error("storage", `${what}: ended after ${came} of ${announced}`, {
      retryable: true,
    });
  }

  async head(key: string, signal: AbortSignal): Promise<StoredObject | undefined> {
    const target = this.#target("head", key);
    const head = await headObject(target, signal);
    if (!head) {
      await this.#requireBucket(target.operation, signal);
      return undefined;
    }
    const lockedUntil = lockOf(head);
    return {
      key,
      sizeBytes: head.ContentLength ?? 0,
      modifiedAt: head.LastModified ?? new Date(0),
      ...(lockedUntil && { lockedUntil }),
    };
  }

  list(prefix: string, signal: AbortSignal, options: ListOptions = {}): AsyncGenerator<StoredObject> {
    return listObjects({ ...this.#listing, wanted: prefix }, options, signal);
  }

  async remove(key: string, signal: AbortSignal): Promise<Removal> {
    return removeVersions(this.#target("remove", key), signal);
  }

  lock(key: string, wanted: ObjectLock | undefined, signal: AbortSignal): Promise<LockAnswer> {
    return this.#locks.lock(this.#target("lock", key), wanted, signal);
  }

  async discard(key: string, uploadId: string | undefined, signal: AbortSignal): Promise<void> {
    const target = this.#target("discard", key);
    if (uploadId !== undefined) await abortUpload(target, uploadId, signal);
    for await (const upload of listUploads(this.#listing, target.operation, target.object.Key, signal))
      if (upload.name === target.object.Key) await abortUpload(target, upload.id, signal);
  }

  async sweep(olderThan: Date, signal: AbortSignal, ours: OwnKeys): Promise<number> {
    const base = fullKey(this.settings.prefix, "");
    let [count, foreign] = [0, 0];
    let first: string | undefined;
    const abortOurs = async (uploads: readonly OpenUpload[]) => {
      const keys = await ours([...new Set(uploads.map(({ name }) => name.slice(base.length)))]);
      for (const { name, id } of uploads) {
        const object = { Bucket: this.settings.bucket, Key: name };
        if (!keys.has(name.slice(base.length))) {
          foreign++;
          first ??= name;
        } else if (await abortUpload({ s3: this.#s3, operation: "sweep", object }, id, signal)) count++;
      }
    };
    let old: OpenUpload[] = [];
    for await (const upload of listUploads(this.#listing, "sweep", base, signal)) {
      if (upload.beganAt < olderThan && upload.name.startsWith(base)) old.push(upload);
      if (old.length < UPLOADS_AT_ONCE) continue;
      await abortOurs(old);
      old = [];
    }
    if (old.length > 0) await abortOurs(old);
    if (foreign > 0) {
      const fields = { storage: this.name, uploads: foreign, first };
      this.#put.log.info("left unfinished uploads that are in no record", fields);
    }
    return count;
  }

  async freeBytes(): Promise<undefined> {}

  traits(signal: AbortSignal): Promise<string[]> {
    return bucketTraits(this.#s3, this.settings.bucket, signal);
  }

  clockSkewMs(sinceMs?: number): number | undefined {
    return this.#s3.clockSkewMs(sinceMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#s3.client.destroy();
  }

  /** Checks the key before any byte is sent. */
  #target(verb: string, key: string): S3Target {
    checkKey(this.name, key, this.settings.prefix);
    const object = { Bucket: this.settings.bucket, Key: fullKey(this.settings.prefix, key) };
    return { s3: this.#s3, operation: `${verb} ${key}`, object };
  }

  /** HEAD answers 404 also for a missing bucket, without a body to distinguish the two. */
  async #requireBucket(operation: string, signal: AbortSignal): Promise<void> {
    if (this.#isBucketKnown) return;
    const input = { Bucket: this.settings.bucket, Prefix: this.settings.prefix, MaxKeys: 1 };
    await this.#s3.call(operation, { signal }, (options) =>
      this.#s3.client.send(new ListObjectsV2Command(input), options),
    );
    this.#isBucketKnown = true;
  }
}

function rangeHeader(start: number, length: number | undefined): string {
  return `bytes=${start}-${length === undefined ? "" : start + length - 1}`;
}
