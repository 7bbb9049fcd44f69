import { PutObjectCommand, type StorageClass } from "@aws-sdk/client-s3";
import { messageOf, Pg321Error } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { Part } from "../stream/part.ts";
import { KeyTaken } from "./key.ts";
import { pullParts } from "./pull.ts";
import { failureOf, isRetryable } from "./s3-errors.ts";
import { headObject } from "./s3-head.ts";
import {
  abortUpload,
  completeUpload,
  createUpload,
  isNoSuchUpload,
  type S3Target,
  sendParts,
} from "./s3-multipart.ts";
import type { PutOptions } from "./storage.ts";

/** The whole cleanup after a failed put; what a storage does not answer by then is swept later. */
const CLEANUP_TIMEOUT_MS = 5_000;
const CONFLICTS: readonly (number | undefined)[] = [409, 412];

/** What every put of one storage shares. */
export interface S3PutSettings {
  log: Log;
  storageClass: string | undefined;
  maxParallelParts: number;
  maxParts: number;
  /** Whether to send `If-None-Match: *`; set to false once the server has answered 501 to it. */
  conditional: { isTried: boolean };
  /** Removes every version of an object, by its full name. */
  remove: (target: S3Target, signal: AbortSignal) => Promise<unknown>;
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

  constructor(settings: S3PutSettings, target: S3Target, options: PutOptions) {
    this.#settings = settings;
    this.#target = target;
    this.#options = options;
  }

  /** A first part that is short is the whole object and goes in one PUT; else it is a multipart upload. */
  async run(body: AsyncIterable<Part>): Promise<S3Stored> {
    await this.#refuseExisting();
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
    try {
      // Only a normal end of the body makes this part the whole object.
      const next = await rest.next();
      if (!next.done) {
        next.value.release();
        throw new Error(`${this.#target.operation}: a part followed a short one`);
      }
      await this.#conditionally((ifNoneMatch) => this.#send(part, ifNoneMatch)).catch((error) =>
        this.#settle(part, error),
      );
      const stored = await this.#confirm(part.bytes.length);
      this.#options.onProgress?.(part.bytes.length);
      return stored;
    } finally {
      part.release();
    }
  }

  async #send(part: Part, ifNoneMatch: { IfNoneMatch?: "*" }): Promise<void> {
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
    await s3.call(operation, { signal: this.#options.signal, timeoutMs: 0 }, (options) =>
      s3.client.send(new PutObjectCommand(input), options),
    );
  }

  /**
   * A PUT whose answer was lost may have stored the object all the same. The next try then meets it as a
   * conflict, which is a success; without a next try it must not stay.
   */
  async #settle(part: Part, error: unknown): Promise<void> {
    const isConflict = CONFLICTS.includes(failureOf(error).status);
    const isUnknown = this.#options.signal.aborted || isRetryable(error);
    let isStored = false;
    if (isConflict) isStored = await this.#holds(part, this.#options.signal);
    else if (isUnknown) {
      await this.#cleanUp(async (signal) => {
        if (await this.#holds(part, signal)) await this.#settings.remove(this.#target, signal);
      });
    }
    if (!isStored) throw error;
  }

  async #holds(part: Part, signal: AbortSignal): Promise<boolean> {
    const head = await headObject(this.#target, signal);
    // Not a multipart object: its tag is the MD5 (if not encrypted by a key service; then it stays).
    const md5Hex = Buffer.from(part.md5(), "base64").toString("hex");
    return head?.ContentLength === part.bytes.length && head.ETag?.replaceAll('"', "") === md5Hex;
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
      uploadId = await createUpload(this.#target, this.#creation(), signal);
      await this.#options.onUpload?.(uploadId);
      isFirstHandedOver = true;
      const onSent = (bytes: number) => this.#options.onProgress?.(bytes);
      const send = { uploadId, first, rest, maxParts, maxParallelParts, stop, signal, onSent };
      const { completed, sizeBytes } = await sendParts(this.#target, send);
      // Not every server minds `If-None-Match` at the completion, so look once more.
      await this.#refuseExisting();
      isCompleting = true;
      await this.#complete(uploadId, completed);
      return await this.#confirm(sizeBytes);
    } catch (error) {
      if (!isFirstHandedOver) first.release();
      if (uploadId !== undefined) {
        const id = uploadId;
        const mayBeOurs = isCompleting && !CONFLICTS.includes(failureOf(error).status);
        await this.#cleanUp(async (fresh) => {
          const wasOpen = await abortUpload(this.#target, id, fresh);
          if (!wasOpen && mayBeOurs) await this.#settings.remove(this.#target, fresh);
        });
      }
      throw error;
    }
  }

  async #complete(uploadId: string, completed: Parameters<typeof completeUpload>[2]): Promise<void> {
    try {
      await this.#conditionally((ifNoneMatch) =>
        completeUpload(this.#target, uploadId, completed, ifNoneMatch, this.#options.signal),
      );
    } catch (error) {
      // The answer to an earlier try was lost, and that one did it; the HEAD that follows tells.
      if (!isNoSuchUpload(error) || !(await headObject(this.#target, this.#options.signal))) throw error;
    }
  }

  async #conditionally(send: (ifNoneMatch: { IfNoneMatch?: "*" }) => Promise<void>): Promise<void> {
    const { conditional } = this.#settings;
    if (!conditional.isTried) return send({});
    try {
      await send({ IfNoneMatch: "*" });
    } catch (error) {
      if (failureOf(error).status !== 501) throw error;
      conditional.isTried = false;
      await send({});
    }
  }

  async #refuseExisting(): Promise<void> {
    if (!(await headObject(this.#target, this.#options.signal))) return;
    throw new KeyTaken(this.#target.s3.what(this.#target.operation));
  }

  /** The server's own word that the object is there, whole. */
  async #confirm(sizeBytes: number): Promise<S3Stored> {
    const head = await headObject(this.#target, this.#options.signal);
    if (head?.ContentLength === sizeBytes) {
      return { sizeBytes, modifiedAt: head.LastModified ?? new Date(0) };
    }
    const found = head ? `the server holds ${head.ContentLength} bytes` : "the server holds nothing";
    const what = this.#target.s3.what(this.#target.operation);
    throw new Pg321Error("storage", `${what}: ${sizeBytes} bytes were sent, but ${found}`, {
      retryable: true,
    });
  }

  /** With a signal of its own, because the put's may be aborted; it never hides the error that led here. */
  async #cleanUp(undo: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { operation, s3 } = this.#target;
    try {
      await undo(AbortSignal.timeout(CLEANUP_TIMEOUT_MS));
    } catch (error) {
      const cause = messageOf(error);
      this.#settings.log.warning("failed put not cleaned up yet", { storage: s3.storage, operation, cause });
    }
  }

  #creation() {
    const { storageClass } = this.#settings;
    return {
      ContentType: "application/octet-stream",
      ...(storageClass === undefined ? {} : { StorageClass: storageClass as StorageClass }),
    };
  }
}
