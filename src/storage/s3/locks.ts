import { createHash } from "node:crypto";
import {
  GetObjectLockConfigurationCommand,
  GetObjectRetentionCommand,
  type HeadObjectCommandOutput,
  PutObjectRetentionCommand,
} from "@aws-sdk/client-s3";
import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import { HOUR_MS, MINUTE_MS } from "../../base/limits.ts";
import { LOCK_MODES } from "../../config/config.ts";
import type { LockAnswer, ObjectLock } from "../storage.ts";
import { failureOf } from "./errors.ts";
import { headObject } from "./head.ts";
import type { S3Target } from "./multipart.ts";
import type { S3Requests } from "./requests.ts";

/** Answers about a bucket or object without a lock, and of servers without this feature. */
const NOT_THERE: readonly (number | undefined)[] = [400, 404, 405, 501];
/** Codes that only a server with Object Lock sends about an object without one (AWS, B2 and MinIO; Ceph). */
const UNLOCKED: readonly string[] = ["NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"];
/** For how long it is remembered that a bucket has no Object Lock: somebody may enable it. */
const MISSING_MS = 10 * MINUTE_MS;
/** Enough for every answer about a lock. */
const ANSWER_BYTES_MAX = 4096;

/** Whether a bucket has Object Lock; `unknown`: the access key may not ask. */
type Feature = { has: "yes" | "unknown" } | { has: "no"; reason: string };

/**
 * The Object Locks of one bucket. Servers without locks are a danger: Swift ignores the headers, answers
 * GetObjectRetention with the object itself, and replaces the object by the request of a PutObjectRetention. So nothing
 * is asked about an object before the bucket, or the object itself, has shown that the server knows locks.
 */
export class ObjectLocks {
  readonly #s3: S3Requests;
  readonly #bucket: string;
  readonly #clock: Clock;
  #feature: { found: Feature; atMs: number } | undefined;

  constructor(s3: S3Requests, bucket: string, clock: Clock) {
    this.#s3 = s3;
    this.#bucket = bucket;
    this.#clock = clock;
  }

  /** The headers that lock a new object; none if the bucket has no Object Lock. */
  async headers(lock: ObjectLock | undefined, signal: AbortSignal) {
    if (!lock || (await this.#ask(signal)).has === "no") return {};
    return {
      ObjectLockMode: lock.mode === "compliance" ? "COMPLIANCE" : "GOVERNANCE",
      ObjectLockRetainUntilDate: lock.until,
    } as const;
  }

  /** See `Storage.lock`. */
  async lock(target: S3Target, wanted: ObjectLock | undefined, signal: AbortSignal): Promise<LockAnswer> {
    const feature = await this.#ask(signal);
    if (feature.has === "no") return { lock: undefined, problem: feature.reason, isEverywhere: true };
    const head = await headObject(target, signal);
    if (!head) return { lock: undefined, problem: "there is no such object", isEverywhere: false };
    const version = head.VersionId === undefined ? {} : { VersionId: head.VersionId };
    const object = { ...target.object, ...version };
    const found = await this.#retention({ ...target, object }, feature, signal);
    if (found.problem !== undefined) return { lock: undefined, problem: found.problem, isEverywhere: true };
    const { lock } = found;
    if (!wanted) return { lock, problem: lock ? undefined : "it is not locked", isEverywhere: false };
    if (reaches(lock, wanted)) return { lock, problem: undefined, isEverywhere: false };
    const refusal = await this.#raise({ ...target, object }, lock, wanted, signal);
    await requireUnchanged(target, head, signal);
    const now = await this.#retention({ ...target, object }, feature, signal);
    if (now.lock && lasts(now.lock, wanted))
      return { lock: now.lock, problem: undefined, isEverywhere: false };
    const reason = refusal ?? now.problem;
    // Without a reason, something is special about this object.
    const problem = reason ?? "the server did not keep the lock";
    return { lock: now.lock, problem, isEverywhere: reason !== undefined };
  }

  /**
   * Extends a lock, and makes it compliance if that is wanted. If the server does not allow the change of the mode (Ceph:
   * only with the right to end governance locks), it is extended in its own. Returns the refusal, if the server refuses.
   */
  async #raise(
    target: S3Target,
    lock: ObjectLock | undefined,
    { mode, until }: ObjectLock,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const isCompliance = lock?.mode === "compliance" || mode === "compliance";
    const end = lock && lock.until > until ? lock.until : until;
    const refusal = await this.#put(target, { mode: isCompliance ? "compliance" : mode, until: end }, signal);
    if (refusal === undefined || !lock || lock.mode === mode || !isCompliance) return refusal;
    if (end > lock.until) await this.#put(target, { mode: lock.mode, until: end }, signal);
    return refusal;
  }

  async #ask(signal: AbortSignal): Promise<Feature> {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#feature;
    if (known && (known.found.has !== "no" || nowMs - known.atMs < MISSING_MS)) return known.found;
    const found = await this.#read(signal);
    this.#feature = { found, atMs: nowMs };
    return found;
  }

  async #read(signal: AbortSignal): Promise<Feature> {
    const no: Feature = {
      has: "no",
      reason: `bucket "${this.#bucket}" has no Object Lock, or the server does not know it`,
    };
    try {
      const { ObjectLockConfiguration } = await this.#s3.call(
        "read the Object Lock setting",
        { signal },
        (options) =>
          this.#s3.client.send(new GetObjectLockConfigurationCommand({ Bucket: this.#bucket }), options),
      );
      // A server without locks may answer with something else, such as a listing, and 200.
      return ObjectLockConfiguration?.ObjectLockEnabled === "Enabled" ? { has: "yes" } : no;
    } catch (error) {
      const { status } = failureOf(error);
      if (NOT_THERE.includes(status)) return no;
      if (status === 403) return { has: "unknown" };
      throw error;
    }
  }

  /** The lock that the server reports; `problem` if it reports nothing that could be one. */
  async #retention(
    { s3, operation, object }: S3Target,
    feature: Feature,
    signal: AbortSignal,
  ): Promise<{ lock?: ObjectLock; problem?: string }> {
    const command = new GetObjectRetentionCommand(object);
    // A server that does not know locks would send the whole object.
    if (feature.has === "unknown")
      command.middlewareStack.add(
        (next) => (args) => {
          limitAnswer(args.request);
          return next(args);
        },
        { step: "build", name: "limitAnswer" },
      );
    try {
      const { Retention } = await s3.call(operation, { signal }, (options) =>
        s3.client.send(command, options).catch(noAnswer),
      );
      const mode = LOCK_MODES.find((one) => one.toUpperCase() === Retention?.Mode);
      const until = Retention?.RetainUntilDate;
      if (mode === undefined || until === undefined || Number.isNaN(until.getTime()))
        return { problem: "the server gave no valid answer about the lock" };
      return { lock: { mode, until } };
    } catch (error) {
      const { code, status } = failureOf(error);
      if (status === 404 && UNLOCKED.includes(code)) return {};
      if (status === 403) return { problem: "the access key may not read locks (s3:GetObjectRetention)" };
      if (status !== 404 && NOT_THERE.includes(status))
        return { problem: `the server does not answer about locks (${code}, ${status})` };
      throw error;
    }
  }

  /** Returns the refusal, if the server refuses. */
  async #put(
    { s3, operation, object }: S3Target,
    { mode, until }: ObjectLock,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const Mode = mode === "compliance" ? "COMPLIANCE" : "GOVERNANCE";
    const command = new PutObjectRetentionCommand({ ...object, Retention: { Mode, RetainUntilDate: until } });
    command.middlewareStack.add(
      (next) => (args) => {
        carryMd5(args.request);
        return next(args);
      },
      { step: "build", priority: "low", name: "contentMd5" },
    );
    try {
      await s3.call(operation, { signal }, (options) => s3.client.send(command, options));
      return undefined;
    } catch (error) {
      const { code, status } = failureOf(error);
      if (status === 403) return "the access key may not lock objects (s3:PutObjectRetention)";
      if (status !== 404 && NOT_THERE.includes(status))
        return `the server refused the lock (${code}, ${status})`;
      throw error;
    }
  }
}

/** Servers may drop the fraction of a second. */
const FRACTION_MS = 1000;
/** The locks of an object and of its manifest may end at different times, because one was stored after the other. */
const DIFFERENCE_MS = HOUR_MS;

function lasts(lock: ObjectLock, { until }: ObjectLock): boolean {
  return lock.until.getTime() > until.getTime() - FRACTION_MS;
}

/**
 * Whether a lock is as long and as strict as wanted. A governance lock that lasts longer than wanted stays until it is
 * renewed: a compliance lock of that length was not asked for, and could not be taken back.
 */
function reaches(lock: ObjectLock | undefined, wanted: ObjectLock): boolean {
  if (!lock || !lasts(lock, wanted)) return false;
  const isStrict = wanted.mode === "governance" || lock.mode === "compliance";
  return isStrict || lock.until.getTime() >= wanted.until.getTime() + DIFFERENCE_MS;
}

/** An answer of the right status that is none about a lock. */
function noAnswer(error: unknown): { Retention?: undefined } {
  if ((failureOf(error).status ?? 500) < 300) return {};
  throw error;
}

/** Throws if the server replaced the object instead of locking it. */
async function requireUnchanged(
  target: S3Target,
  before: HeadObjectCommandOutput,
  signal: AbortSignal,
): Promise<void> {
  const after = await headObject(target, signal);
  if (after?.ContentLength === before.ContentLength && after?.ETag === before.ETag) return;
  throw new Pg321Error(
    "storage",
    `${target.s3.what(target.operation)}: the object changed while it was being locked`,
    { hint: "remove lock from the storage's table in the config, then run: pg321 verify --all" },
  );
}

function limitAnswer(request: unknown): void {
  headersOf(request)["range"] = `bytes=0-${ANSWER_BYTES_MAX - 1}`;
}

/** Several servers want this instead of the SDK's checksum. */
function carryMd5(request: unknown): void {
  const headers = headersOf(request);
  for (const name of Object.keys(headers))
    if (/^x-amz-(checksum|sdk-checksum)-/i.test(name)) delete headers[name];
  const { body } = request as { body: string };
  headers["content-md5"] = createHash("md5").update(body).digest("base64");
}

function headersOf(request: unknown): Record<string, string> {
  return (request as { headers: Record<string, string> }).headers;
}
