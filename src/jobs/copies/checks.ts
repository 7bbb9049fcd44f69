import { messageOf } from "../../base/errors.ts";
import { twoSizes } from "../../base/text/amounts.ts";
import type { CopyRecord } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";
import { isInPlace } from "../in-place.ts";
import { storageNamed } from "../storages.ts";
import { settleStatus } from "./backup-status.ts";

export interface CopyPlace {
  backupId: string;
  storage: string;
}

/**
 * `missing`: the storage answers, but has no object or one of another size under the key. `unknown`: the storage does
 * not answer, is not the expected one, or is not in the config.
 */
export type CopyCheck = "there" | "missing" | "unknown";

/** Proof that the copies which retention relies on were seen in this run. Only `CopyChecks.rely` creates it. */
class RelianceProof {
  readonly #isProof = true;

  get isProof(): boolean {
    return this.#isProof;
  }
}
export type Reliance = RelianceProof;

/** Results that are remembered: more than all newest good copies. An older one is asked for again. */
const LOOKS_MAX = 10_000;

/** Checks copies that others rely on: one HEAD for each, nearly always once per run. */
export class CopyChecks {
  readonly #context: JobContext;
  readonly #onMissing: (copy: CopyRecord) => void;
  readonly #looks = new Map<string, Promise<CopyCheck>>();

  constructor(context: JobContext, onMissing: (copy: CopyRecord) => void) {
    this.#context = context;
    this.#onMissing = onMissing;
  }

  async at(backupId: string, storage: string): Promise<CopyCheck> {
    const { catalog } = this.#context;
    // Read the record each time: another run may have removed the copy since.
    const copy = (await catalog.copies(backupId)).find((one) => one.storage === storage);
    if (copy?.state !== "CONFIRMED") return "missing";
    const key = `${backupId} ${storage}`;
    const look = this.#looks.get(key) ?? this.#look(copy);
    this.#looks.set(key, look);
    const [oldest] = this.#looks.keys();
    if (this.#looks.size > LOOKS_MAX && oldest !== undefined) this.#looks.delete(oldest);
    return look;
  }

  /**
   * The proof that a removal may rely on: every copy in `all` exists and, if `any` is given, at least one copy in it
   * exists. Otherwise returns the reason to hold the removal.
   */
  async rely(
    all: readonly CopyPlace[],
    any?: { places: readonly CopyPlace[]; otherwise: string },
  ): Promise<Reliance | string> {
    for (const { backupId, storage } of all) {
      const look = await this.at(backupId, storage);
      if (look === "missing") return `the remaining copy in "${storage}" is missing`;
      if (look === "unknown") return `the remaining copy in "${storage}" cannot be checked now`;
    }
    if (any === undefined) return new RelianceProof();
    for (const { backupId, storage } of any.places)
      if ((await this.at(backupId, storage)) === "there") return new RelianceProof();
    return any.otherwise;
  }

  async #look(copy: CopyRecord): Promise<CopyCheck> {
    const { catalog, log, signal } = this.#context;
    const { backup_id: backupId, storage: name } = copy;
    const storage = storageNamed(this.#context, name);
    if (!storage) return "unknown";
    try {
      const found = await storage.head(copy.object_key, signal);
      if (found?.sizeBytes === copy.object_bytes) return "there";
      if (!found && !(await isInPlace(this.#context, storage, signal))) return "unknown";
      const error = found
        ? `it has ${twoSizes(found.sizeBytes, copy.object_bytes ?? 0).join(", not ")}`
        : "it is gone, but pg321 did not remove it";
      await catalog.updateCopy(backupId, name, { state: found ? "DAMAGED" : "MISSING", error });
      await settleStatus(this.#context, { id: backupId });
      this.#onMissing({ ...copy, error });
      return "missing";
    } catch (error) {
      signal.throwIfAborted();
      log.warning("a copy could not be checked", {
        storage: name,
        backup_id: backupId,
        error: messageOf(error),
      });
      return "unknown";
    }
  }
}
