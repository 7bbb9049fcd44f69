import type { RunRecord } from "../../../catalog/records.ts";
import { quoteIdentifier } from "../../../postgres/archive/sql-text.ts";
import type { Connection } from "../../../postgres/connection.ts";
import type { JobContext } from "../../context.ts";
import { shortId } from "../../copies/object-key.ts";

/**
 * A database gets its name only once it is whole: until then it has the name of this attempt, so that a restore that was
 * cut off leaves nothing that looks like the database.
 */
const START = "pg321 restoring ";

export function attemptName(backupId: string): string {
  return `${START}${shortId(backupId)} ${crypto.randomUUID().slice(0, 8)}`;
}

/** Whether a database has the name of an attempt at this backup, finished or not. */
export function isAttempt(backupId: string, database: string): boolean {
  return database.startsWith(`${START}${shortId(backupId)} `);
}

/** A server as a target, and its databases. */
export interface SeenServer {
  /** Its system identifier; undefined if the role may not see it. */
  system: string | undefined;
  databases: readonly SeenDatabase[];
}

export interface SeenDatabase {
  name: string;
  oid: string;
}

/** What a record says about a database of the target that was restored from a backup as a whole. */
export interface Finished {
  run_id: string;
  isPartial: boolean;
  tables: number;
}

/** The records of restores that began to fill their target, whether or not they came to their end. */
export class Restored {
  readonly #runs: readonly RunRecord[];

  constructor(runs: readonly RunRecord[]) {
    this.#runs = runs
      .filter(({ statistics }) => statistics?.["dry_run"] === false)
      .toSorted((one, other) => other.started_at.localeCompare(one.started_at));
  }

  static async read({ catalog }: Pick<JobContext, "catalog">): Promise<Restored> {
    return new Restored(await catalog.runs({ job: "restore" }));
  }

  /**
   * What is known of this very database, by the system identifier of its server and its OID: a name, a host and a port may
   * be another's by now. Only the newest record of it counts: after a restore that was cut off, an older one proves
   * nothing. A server that was reverted may give the OID of one attempt to another, so an attempt must have its name in
   * the record too. Undefined: it was not restored from this backup, or only a selection of it, or that is not known.
   */
  finished(backupId: string, { system }: SeenServer, { oid, name }: SeenDatabase): Finished | undefined {
    if (system === undefined) return undefined;
    const [run] = this.#runs.filter(
      ({ statistics }) =>
        statistics?.["target_system"] === system &&
        statistics["target_oid"] === oid &&
        statistics["is_selection"] === false,
    );
    if (run?.statistics?.["backup_id"] !== backupId) return undefined;
    if (isAttempt(backupId, name) && run.statistics["target_database"] !== name) return undefined;
    if (run.outcome !== "OK" && run.outcome !== "PARTIAL") return undefined;
    const { id: run_id, outcome, statistics } = run;
    return { run_id, isPartial: outcome === "PARTIAL", tables: Number(statistics["tables"]) };
  }

  /** Whether a restore of a whole server to this target has restored one of these backups, or has begun to. */
  hasBegun(backupIds: readonly string[], { system, databases }: SeenServer): boolean {
    const isOne = (name: string) => backupIds.some((id) => isAttempt(id, name));
    if (databases.some(({ name }) => isOne(name))) return true;
    return this.#runs.some(
      ({ statistics }) =>
        system !== undefined &&
        statistics?.["target_system"] === system &&
        isOne(String(statistics["target_database"])),
    );
  }
}

export async function renameDatabase(connection: Connection, from: string, to: string): Promise<void> {
  const statement = `ALTER DATABASE ${quoteIdentifier(from)} RENAME TO ${quoteIdentifier(to)}`;
  await connection.run(`rename database "${from}" to "${to}"`, (sql) => sql.unsafe(statement).simple());
}

/** Removes what an earlier attempt at the same restore made and did not finish. */
export async function dropAttempt(connection: Connection, name: string): Promise<void> {
  const statement = `DROP DATABASE ${quoteIdentifier(name)}`;
  await connection.run(`drop the unfinished database "${name}"`, (sql) => sql.unsafe(statement).simple());
}
