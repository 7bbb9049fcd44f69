import { type HeadObjectCommandOutput, PutObjectCommand, type StorageClass } from "@aws-sdk/client-s3";
import { deadline } from "../../base/abort.ts";
import type { Clock } from "../../base/clock.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { twoSizes } from "../../base/text/amounts.ts";
import { Part } from "../../stream/part.ts";
import { KeyTaken } from "../key.ts";
import { pullParts } from "../pull.ts";
import type { PutOptions } from "../storage.ts";
import { failureOf, isRetryable } from "./errors.ts";
import { headObject } from "./head.ts";
import type { ObjectLocks } from "./locks.ts";
import {
  abortUpload,
  completeUpload,
  createUpload,
  isNoSuchUpload,
  type S3Target,
  sendParts,
} from "./multipart.ts";
import { deleteVersion, removeVersion } from "./remove.ts";

/** Time for the whole cleanup after a failed put; the rest is swept later. */
const CLEANUP_TIMEOUT_MS = 5_000;
/** Answers to a request with lock headers, if a bucket has no Object Lock or the access key may not lock. */
const REFUSED_LOCK: readonly (number | undefined)[] = [400, 403, 501];
const CONFLICTS: readonly (number | undefined)[] = [409, 412];
/**
 * The metadata entry with a random id of the put that made an object. Only it shows whose an object is: an ETag is
 * not an MD5 if a key service encrypts, and is the same if two puts send the same bytes.
 */
const MARK = "pg321-put";
/** Each attempt whose answer was lost may have made a version, in a bucket that keeps versions. */
const OWN_VERSIONS_MAX = 100;

/** Settings shared by all puts of one storage. */
export interface S3PutSettings {
  log: Log;
  clock: Clock;
  storageClass: string | undefined;
  maxParallelParts: number;
  maxParts: number;
  locks: ObjectLocks;
  /** Whether to send `If-None-Match: *`; set to false once the server has answered 501 to it. */
  conditional: { isTried: boolean };
}

export interface S3Stored {
  sizeBytes: number;
  modifiedAt: Date;
}

/** One put of one object. */
export class S3Put {
  readonly #settings: S3PutSettings;
  readonly #target: S3Target;
  readonly #options: PutOptions;
  readonly #mark = crypto.randomUUID();
  /** From the answer, in a bucket that keeps versions. */
  #versionId: string | undefined;
  /** The headers that lock the object. */
  #lock: Awaited<ReturnType<ObjectLocks["headers"]>> = {};

  constructor(settings: S3PutSettings, target: S3Target, options: PutOptions) {
    this.#settings = settings;
    this.#target = target;
    this.#options = options;
  }

  /**
   * If the first part is short it is the whole object and goes in one PUT; otherwise it begins a multipart upload.
   */
  async run(body: AsyncIterable<Part>): Promise<S3Stored> {
    await this.#refuseExisting();
    this.#lock = await this.#settings.locks.headers(this.#options.lock, this.#options.signal);
    const stop = new AbortController();
    const signal = AbortSignal.any([this.#options.signal, stop.signal]);
    const parts = pullParts(body, signal);
    try {
      const next = await parts.next();
      const first = next.done ? new Part(new Uint8Array(0), 0, 1) : next.value;
      if (first.bytes.length < this.#options.partBytes) return await this.#putWhole(first, parts);
      return await this.#putMultipart(first, parts, stop, signal);
    } finally {
      await parts.return(undefined);
    }
  }

  async #putWhole(part: Part, rest: AsyncGenerator<Part>): Promise<S3Stored> {
    let mayBeThere = false;
    try {
      // This part is the whole object only if the body ends normally.
      const next = await rest.next();
      if (!next.done) {
        next.value.release();
        throw new Error(`${this.#target.operation}: a part came after a short one`);
      }
      let tries = 0;
      await this.#lockedIfPossible(() =>
        this.#conditionally((ifNoneMatch) => this.#send(part, ifNoneMatch, () => void tries++)),
      ).catch((error) => {
        mayBeThere = tries > 1 || this.#options.signal.aborted || isRetryable(error);
        return this.#requireOurs(error);
      });
      mayBeThere = true;
      const stored = await this.#confirm(part.bytes.length);
      this.#options.onProgress?.(part.bytes.length);
      return stored;
    } catch (error) {
      if (mayBeThere) await this.#cleanUp((signal) => this.#undo(signal));
      throw error;
    } finally {
      part.release();
    }
  }

  async #send(part: Part, ifNoneMatch: { IfNoneMatch?: "*" }, onTry: () => void): Promise<void> {
    const { s3, operation, object } = this.#target;
    const input = {
      ...object,
      ...this.#creation(),
      ...ifNoneMatch,
      Body: part.bytes,
      ContentLength: part.bytes.length,
      ContentMD5: part.md5(),
    };
    // The caller watches the progress of bodies, so there is no time limit here.
    const { VersionId } = await s3.call(
      operation,
      { signal: this.#options.signal, timeoutMs: 0 },
      (options) => {
        onTry();
        return s3.client.send(new PutObjectCommand(input), options);
      },
    );
    this.#versionId = VersionId;
  }

  /**
   * Returns if the object that an attempt ran into was made by an earlier attempt whose answer was lost. Otherwise
   * throws `KeyTaken` if it belongs to another put, or the error of the attempt.
   */
  async #requireOurs(error: unknown): Promise<void> {
    if (!CONFLICTS.includes(failureOf(error).status) && !isNoSuchUpload(error)) throw error;
    const head = await headObject(this.#target, this.#options.signal);
    if (!head) throw error;
    if (!this.#isOurs(head)) throw new KeyTaken(this.#target.s3.what(this.#target.operation), error);
  }

  #isOurs(head: HeadObjectCommandOutput): boolean {
    return head.Metadata?.[MARK] === this.#mark;
  }

  /**
   * Removes the object that this put has stored and nothing else: neither the object of another put nor older
   * versions.
   */
  async #undo(signal: AbortSignal): Promise<void> {
    for (let count = 0; count < OWN_VERSIONS_MAX; count++) {
      const head = await headObject(this.#target, signal);
      if (!head || !this.#isOurs(head)) break;
      await removeVersion(this.#target, head.VersionId, signal);
    }
    // On a server that ignores `If-None-Match` it may be hidden behind another put's object. The version "null" may
    // be another's.
    if (this.#versionId !== undefined && this.#versionId !== "null")
      await deleteVersion(this.#target, this.#versionId, signal);
  }

  async #putMultipart(
    first: Part,
    rest: AsyncGenerator<Part>,
    stop: AbortController,
    signal: AbortSignal,
  ): Promise<S3Stored> {
    const { maxParallelParts, maxParts } = this.#settings;
    let isFirstHandedOver = false;
    let isCompleting = false;
    let uploadId: string | undefined;
    try {
      uploadId = await this.#lockedIfPossible(() => createUpload(this.#target, this.#creation(), signal));
      await this.#options.onUpload?.(uploadId);
      isFirstHandedOver = true;
      const onSent = (bytes: number) => this.#options.onProgress?.(bytes);
      const send = { uploadId, first, rest, maxParts, maxParallelParts, stop, signal, onSent };
      const { completed, sizeBytes } = await sendParts(this.#target, send);
      // Some servers ignore `If-None-Match` at the completion, so check once more.
      await this.#refuseExisting();
      isCompleting = true;
      await this.#complete(uploadId, completed);
      return await this.#confirm(sizeBytes);
    } catch (error) {
      if (!isFirstHandedOver) first.release();
      if (uploadId !== undefined) {
        const id = uploadId;
        await this.#cleanUp(async (fresh) => {
          await abortUpload(this.#target, id, fresh);
          if (isCompleting) await this.#undo(fresh);
        });
      }
      throw error;
    }
  }

  async #complete(uploadId: string, completed: Parameters<typeof completeUpload>[2]): Promise<void> {
    const complete = async (ifNoneMatch: { IfNoneMatch?: "*" }) => {
      const { signal } = this.#options;
      this.#versionId = await completeUpload(this.#target, uploadId, completed, ifNoneMatch, signal);
    };
    await this.#conditionally(complete).catch((error) => this.#requireOurs(error));
  }

  /** Without the lock, if the server refuses a request with it: an unlocked backup is better than none. */
  async #lockedIfPossible<T>(send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      const isRefusal = REFUSED_LOCK.includes(failureOf(error).status) && !isRetryable(error);
      if (!isRefusal || Object.keys(this.#lock).length === 0) throw error;
      this.#lock = {};
      return send();
    }
  }

  async #conditionally(send: (ifNoneMatch: { IfNoneMatch?: "*" }) => Promise<void>): Promise<void> {
    const { conditional } = this.#settings;
    if (!conditional.isTried || this.#options.onTop) return send({});
    try {
      await send({ IfNoneMatch: "*" });
    } catch (error) {
      if (failureOf(error).status !== 501) throw error;
      conditional.isTried = false;
      await send({});
    }
  }

  async #refuseExisting(): Promise<void> {
    if (this.#options.onTop || !(await headObject(this.#target, this.#options.signal))) return;
    throw new KeyTaken(this.#target.s3.what(this.#target.operation));
  }

  /** Checks with the server that the object exists, is whole, and was not replaced by that of another put. */
  async #confirm(sizeBytes: number): Promise<S3Stored> {
    const head = await headObject(this.#target, this.#options.signal);
    // A server without metadata shows no mark.
    if (head?.Metadata?.[MARK] !== undefined && !this.#isOurs(head))
      throw new KeyTaken(this.#target.s3.what(this.#target.operation));
    if (head?.ContentLength === sizeBytes) {
      return { sizeBytes, modifiedAt: head.LastModified ?? new Date(0) };
    }
    const [sent, held] = twoSizes(sizeBytes, head?.ContentLength ?? 0);
    const found = `the server holds ${head ? held : "nothing"}`;
    const what = this.#target.s3.what(this.#target.operation);
    throw new Pg321Error("storage", `${what}: ${sent} sent, but ${found}`, {
      retryable: true,
    });
  }

  /** Uses a fresh signal, because that of the put may be aborted; never hides the error that led here. */
  async #cleanUp(undo: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { operation, s3 } = this.#target;
    using time = deadline({ clock: this.#settings.clock, durationMs: CLEANUP_TIMEOUT_MS });
    try {
      await undo(time.signal);
    } catch (error) {
      const cause = messageOf(error);
      this.#settings.log.warning("a failed upload could not be cleaned up yet", {
        storage: s3.storage,
        operation,
        cause,
      });
    }
  }

  #creation() {
    const { storageClass } = this.#settings;
    return {
      ContentType: "application/octet-stream",
      Metadata: { [MARK]: this.#mark },
      ...this.#lock,
      ...(storageClass === undefined ? {} : { StorageClass: storageClass as StorageClass }),
    };
  }
}
