import { Pg321Error } from "../base/errors.ts";
import type { StorageConfig } from "../config/config.ts";
import type { LockAnswer, Removal, Storage, StoredObject } from "./storage.ts";

/** Why a storage takes no part in a run. Nothing is read from it, written to it or removed from it. */
export class StorageRefused extends Pg321Error {
  constructor(storage: string, problem: string, hint: string) {
    super("storage", `storage "${storage}": ${problem}`, { hint });
  }
}

/** A storage that takes no part in a run: each call fails with the same reason, and nothing reaches the place. */
export class RefusedStorage implements Storage {
  readonly name: string;
  readonly settings: StorageConfig;
  readonly reason: StorageRefused;
  readonly #storage: Storage;

  constructor(storage: Storage, reason: StorageRefused) {
    this.name = storage.name;
    this.settings = storage.settings;
    this.reason = reason;
    this.#storage = storage;
  }

  describe(): Record<string, string> {
    return this.#storage.describe();
  }

  place(signal: AbortSignal): Promise<readonly string[]> {
    return this.#storage.place(signal);
  }

  around(key: string, signal: AbortSignal): Promise<Uint8Array[]> {
    return this.#storage.around(key, signal);
  }

  put(): Promise<StoredObject> {
    return Promise.reject(this.reason);
  }

  // biome-ignore lint/correctness/useYield: it always throws.
  async *get(): AsyncGenerator<Uint8Array> {
    throw this.reason;
  }

  head(): Promise<StoredObject | undefined> {
    return Promise.reject(this.reason);
  }

  // biome-ignore lint/correctness/useYield: it always throws.
  async *list(): AsyncGenerator<StoredObject> {
    throw this.reason;
  }

  remove(): Promise<Removal> {
    return Promise.reject(this.reason);
  }

  lock(): Promise<LockAnswer> {
    return Promise.reject(this.reason);
  }

  discard(): Promise<void> {
    return Promise.reject(this.reason);
  }

  sweep(): Promise<number> {
    return Promise.reject(this.reason);
  }

  freeBytes(): Promise<number | undefined> {
    return Promise.reject(this.reason);
  }

  clockSkewMs(sinceMs?: number): number | undefined {
    return this.#storage.clockSkewMs(sinceMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** A storage whose settings are incomplete: its place is not known, so nothing can be asked around it either. */
export class UnusableStorage extends RefusedStorage {
  override place(): Promise<readonly string[]> {
    return Promise.reject(this.reason);
  }

  override around(): Promise<Uint8Array[]> {
    return Promise.resolve([]);
  }
}
