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

/** The attempts at a backup that a target has, finished or not. */
export function attemptsAt(backupId: string, databases: readonly string[]): string[] {
  return databases.filter((name) => name.startsWith(`${START}${shortId(backupId)} `));
}

/** The restores that succeeded, by what their records say. */
export class Restored {
  readonly #runs: readonly RunRecord[];

  private constructor(runs: readonly RunRecord[]) {
    this.#runs = runs;
  }

  static async read({ catalog }: Pick<JobContext, "catalog">): Promise<Restored> {
    const runs = [
      ...(await catalog.runs({ job: "restore", outcome: "OK" })),
      ...(await catalog.runs({ job: "restore", outcome: "PARTIAL" })),
    ];
    return new Restored(runs.filter(({ statistics }) => statistics?.["dry_run"] === false));
  }

  /** Whether the database that was made under this name is whole. */
  isWhole(attempt: string): boolean {
    return this.#runs.some(({ statistics }) => statistics?.["target_database"] === attempt);
  }

  /** Whether this backup was restored to this place, as a database of this name. */
  isDone(backupId: string, place: string, database: string): boolean {
    return this.#runs.some(({ statistics }) => {
      const name = String(statistics?.["target_database"]);
      return (
        statistics?.["backup_id"] === backupId &&
        statistics["target_place"] === place &&
        (name === database || attemptsAt(backupId, [name]).length > 0)
      );
    });
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
