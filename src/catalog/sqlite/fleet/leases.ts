import type { Database } from "bun:sqlite";
import { type Fence, lostLease } from "../../fence.ts";
import type { LeaseHolder, TombstoneRecord } from "../../records.ts";
import { insertion } from "../statements.ts";
import { columnsOf, fromRow, LEASES, type Row, TOMBSTONES } from "../tables.ts";

/** Runs a write; with a fence in one transaction with a look at its lease. */
export function fenced<T>(database: Database, fence: Fence | undefined, write: () => T): T {
  if (fence === undefined) return write();
  const both = database.transaction(() => {
    requireLease(database, fence);
    return write();
  });
  return both.immediate();
}

/** Throws code `locked` if another run has taken the lease since. */
function requireLease(database: Database, fence: Fence | undefined): void {
  if (fence === undefined) return;
  const sql = "SELECT token FROM leases WHERE name = $name";
  const row = database.query<{ token: number }, Row>(sql).get({ name: fence.name });
  if (row?.token !== fence.token) throw lostLease(fence.name);
}

/** Replaces the records of a backup by its tombstone. False, and nothing is changed, if there is no such backup. */
export function removeBackup(
  database: Database,
  tombstone: TombstoneRecord,
  fence: Fence | undefined,
): boolean {
  const { backup_id: id } = tombstone;
  const run = (sql: string, values: Row) => database.query<never, Row>(sql).run(values).changes;
  const remove = database.transaction(() => {
    requireLease(database, fence);
    if (database.query<Row, Row>("SELECT 1 FROM backups WHERE id = $id").get({ id }) === null) return false;
    run("DELETE FROM copies WHERE backup_id = $id", { id });
    run("DELETE FROM backups WHERE id = $id", { id });
    // A backup that was adopted again after its removal has a tombstone already.
    run(...insertion("INSERT OR REPLACE", TOMBSTONES, tombstone));
    return true;
  });
  return remove.immediate();
}

/** Takes a lease with the next token, unless it is held; then returns its holder. */
export function takeLease(
  database: Database,
  lease: LeaseHolder,
  isHeld: (holder: LeaseHolder) => boolean,
): LeaseHolder | undefined {
  const { name } = lease;
  const take = database.transaction(() => {
    const sql = `SELECT ${columnsOf(LEASES)} FROM leases WHERE name = $name`;
    const row = database.query<Row, Row>(sql).get({ name });
    const holder = row === null ? undefined : fromRow(LEASES, row);
    if (holder && isHeld(holder)) return holder;
    const [insert, values] = insertion("INSERT OR REPLACE", LEASES, lease);
    database.query<never, Row>(insert).run(values);
    database.query<never, Row>("UPDATE lease_tokens SET last = last + 1").run({});
    const token = "UPDATE leases SET token = (SELECT last FROM lease_tokens) WHERE name = $name";
    database.query<never, Row>(token).run({ name });
    return undefined;
  });
  // Takes the write lock at the start: if two processes both read first, neither could go on to write.
  return take.immediate();
}

export function tokenOf(database: Database, name: string, runId: string): number | undefined {
  const sql = "SELECT token FROM leases WHERE name = $name AND run_id = $runId";
  return database.query<{ token: number }, Row>(sql).get({ name, runId })?.token;
}
