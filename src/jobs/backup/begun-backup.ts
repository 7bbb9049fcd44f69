import { deadline } from "../../base/abort.ts";
import { Pg321Error } from "../../base/errors.ts";
import { underLease } from "../../catalog/fleet/fenced-catalog.ts";
import { backupName } from "../../catalog/globals.ts";
import type { Held } from "../../catalog/lease.ts";
import type { BackupKind, BackupRecord, CopyRecord } from "../../catalog/records.ts";
import type { ServerConfig } from "../../config/config.ts";
import type { JobContext } from "../context.ts";
import { BackupHooks } from "./hooks.ts";
import { awaitBackupLease } from "./lease-of-backup.ts";
import { recordFailure, recordStart } from "./record.ts";

export interface DatabaseBackup {
  backup: BackupRecord;
  copies: CopyRecord[];
  /** What to do about the storages that were dropped, by their names. */
  hints: ReadonlyMap<string, string>;
  /** Of hooks that failed although the backup is made. */
  warnings: string[];
}

/** Dumps and stores, with a context whose writes are fenced. `state.isWhole` is set once the object is complete. */
export type MakeBackup = (
  context: JobContext,
  backup: BackupRecord,
  signal: AbortSignal,
  state: { isWhole: boolean },
) => Promise<Omit<DatabaseBackup, "warnings">>;

/**
 * A backup that is recorded, with the lease of its database, whose `pre_backup` hooks have run. It is either made once,
 * or fails when it is disposed of. The time until it is made does not count for `dump.run_timeout`.
 */
export class BegunBackup implements AsyncDisposable {
  readonly #context: JobContext;
  readonly #server: ServerConfig;
  readonly #lease: Held;
  readonly #backup: BackupRecord;
  readonly #hooks: BackupHooks;
  #leftMs: number;
  #hasEnded = false;

  private constructor(context: JobContext, server: ServerConfig, lease: Held, backup: BackupRecord) {
    this.#context = context;
    this.#server = server;
    this.#lease = lease;
    this.#backup = backup;
    this.#hooks = new BackupHooks(context, server, backup);
    this.#leftMs = context.config.dump.run_timeout_ms;
  }

  /** Throws code `locked` before anything is recorded; otherwise after the backup is recorded as FAILED. */
  static async begin(
    context: JobContext,
    runId: string,
    server: ServerConfig,
    { database, kind = "dump" }: { database: string; kind?: BackupKind | undefined },
  ): Promise<BegunBackup> {
    const lease = await awaitBackupLease(context, { runId, server: server.name, database, kind });
    let begun: BegunBackup;
    try {
      const leased = underLease(context, lease);
      const backup = await recordStart(leased, runId, server.name, database, kind);
      begun = new BegunBackup(context, server, lease, backup);
    } catch (error) {
      await lease[Symbol.asyncDispose]();
      throw error;
    }
    try {
      await begun.#within((signal) => begun.#hooks.before(signal), { isWhole: false });
    } catch (error) {
      await begun[Symbol.asyncDispose]();
      throw error;
    }
    return begun;
  }

  /** Resolves if the backup is VERIFIED or PARTIAL; throws after it is recorded as FAILED. */
  async make(make: MakeBackup): Promise<DatabaseBackup> {
    const state = { isWhole: false };
    return this.#within(async (signal) => {
      signal.throwIfAborted();
      const leased = { ...underLease(this.#context, this.#lease), signal: this.#context.signal };
      const made = await make(leased, this.#backup, signal, state);
      await this.#hooks.after(made.backup.status, signal);
      this.#hasEnded = true;
      return { ...made, warnings: this.#hooks.warnings };
    }, state);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (!this.#hasEnded)
        await this.#fail(this.#context.signal.reason ?? new Error("it was not made"), false);
    } finally {
      await this.#lease[Symbol.asyncDispose]();
    }
  }

  /** Limits the work to what is left of `dump.run_timeout`. If it throws, the backup has failed. */
  async #within<T>(work: (signal: AbortSignal) => Promise<T>, state: { isWhole: boolean }): Promise<T> {
    const { clock } = this.#context;
    const startedAtMs = clock.monotonicMs();
    using time = deadline({ clock, signal: this.#lease.signal, durationMs: this.#leftMs }, () =>
      this.#timedOut(),
    );
    const { signal } = time;
    try {
      return await work(signal);
    } catch (error) {
      throw await this.#fail(signal.aborted ? signal.reason : error, state.isWhole);
    } finally {
      this.#leftMs = Math.max(1, this.#leftMs - (clock.monotonicMs() - startedAtMs));
    }
  }

  async #fail(error: unknown, isWhole: boolean): Promise<unknown> {
    this.#hasEnded = true;
    const reported = await recordFailure(this.#context, this.#backup, error, isWhole);
    await this.#hooks.failed();
    return reported;
  }

  #timedOut(): Pg321Error {
    const { database } = this.#backup;
    const timeoutMs = this.#context.config.dump.run_timeout_ms;
    return new Pg321Error(
      "database",
      `backup of ${backupName({ server: this.#server.name, database })} took longer than dump.run_timeout (${timeoutMs / 1000} s)`,
      {
        hint: "check for a slow storage or a lock in the database, or raise dump.run_timeout",
      },
    );
  }
}
