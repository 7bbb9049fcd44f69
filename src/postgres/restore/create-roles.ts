import type { Connection } from "../connection.ts";
import { sqlStateOf } from "../errors.ts";
import { createRole } from "./preflight.ts";

/** duplicate_object; and unique_violation, if another session created the role at the same moment. */
const EXISTS = ["42710", "23505"];

/**
 * Creates the roles that the target lacks, in one transaction; never changes one that exists. A role that another
 * session has created since the target was checked is skipped: several databases may be restored at once.
 */
export async function createRoles(target: Connection, names: readonly string[]): Promise<void> {
  const run = (what: string, statement: string) => target.run(what, (sql) => sql.unsafe(statement).simple());
  await run("begin a transaction", "BEGIN");
  try {
    // In the same order everywhere: transactions that wait for each other's roles would be a deadlock.
    for (const name of names.toSorted()) {
      await run("set a savepoint", "SAVEPOINT role");
      try {
        await run("create the missing roles", createRole(name));
      } catch (error) {
        if (!isThere(error)) throw error;
        await run("return to a savepoint", "ROLLBACK TO SAVEPOINT role");
      }
    }
    await run("commit the roles", "COMMIT");
  } catch (error) {
    await run("undo the roles", "ROLLBACK").catch(() => {});
    throw error;
  }
}

function isThere(error: unknown): boolean {
  return EXISTS.includes(sqlStateOf(error) ?? "");
}
