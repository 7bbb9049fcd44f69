import { messageOf } from "../base/errors.ts";
import type { CopyRecord } from "../catalog/catalog.ts";
import type { JobContext } from "./context.ts";
import { storageNamed } from "./context.ts";
import { settle } from "./verify.ts";

/**
 * `missing`: the storage answers, and has nothing or something of another size under the key. `unknown`: it
 * does not answer, or the config does not name it.
 */
export type Look = "there" | "missing" | "unknown";

/** Looks after copies that others rely on: a HEAD of each, once in a run. */
export class CopyLooks {
  readonly #context: JobContext;
  readonly #onMissing: (copy: CopyRecord) => void;
  readonly #looks = new Map<string, Promise<Look>>();

  constructor(context: JobContext, onMissing: (copy: CopyRecord) => void) {
    this.#context = context;
    this.#onMissing = onMissing;
  }

  async at(backupId: string, storage: string): Promise<Look> {
    const { catalog } = this.#context;
    // The record is asked each time: another run may have removed the copy since.
    const copy = (await catalog.copies(backupId)).find((one) => one.storage === storage);
    if (copy?.state !== "CONFIRMED") return "missing";
    const key = `${backupId} ${storage}`;
    const look = this.#looks.get(key) ?? this.#look(copy);
    this.#looks.set(key, look);
    return look;
  }

  async #look(copy: CopyRecord): Promise<Look> {
    const { catalog, log, signal } = this.#context;
    const { backup_id: backupId, storage: name } = copy;
    const storage = storageNamed(this.#context, name);
    if (!storage) return "unknown";
    try {
      const found = await storage.head(copy.object_key, signal);
      if (found?.sizeBytes === copy.object_bytes) return "there";
      const error = found
        ? `it has ${found.sizeBytes} bytes, not ${copy.object_bytes}`
        : "it is gone, and nobody asked for that";
      await catalog.updateCopy(backupId, name, { state: found ? "DAMAGED" : "MISSING", error });
      await settle(this.#context, { id: backupId });
      this.#onMissing({ ...copy, error });
      return "missing";
    } catch (error) {
      signal.throwIfAborted();
      log.warning("a copy could not be looked after", {
        storage: name,
        backup_id: backupId,
        error: messageOf(error),
      });
      return "unknown";
    }
  }
}
