import type { Database } from "bun:sqlite";
import type { Clock } from "../../base/clock.ts";
import type { Transactions } from "../postgres/transactions.ts";
import type { Binding, Row } from "../sqlite/tables.ts";
import type { SpoolFile } from "./file.ts";

/** What a host remembers of each of its databases: enough for the next dump, its guard against shrinking, and the status. */
const BACKUPS_KEPT = 10;
const RUNS_KEPT = 500;
const ROWS_KEPT = 200;

const OWN = "IN (SELECT value FROM json_each($servers))";
/** Newest backups of each database, and all that are under way or have copies that are not settled. */
const RECENT = `WITH places AS (SELECT * FROM latest_backups WHERE server ${OWN}), recent AS (
    SELECT newest.id FROM places CROSS JOIN LATERAL (
      SELECT id FROM backups WHERE server = places.server AND database = places.database
      ORDER BY started_at DESC, id DESC LIMIT ${BACKUPS_KEPT}) AS newest
    UNION SELECT good_id FROM places UNION SELECT ended_id FROM places
    UNION SELECT id FROM backups WHERE status = 'RUNNING' AND server ${OWN}
    UNION SELECT backup_id FROM copies JOIN backups ON id = backup_id WHERE state = 'INTENDED' AND server ${OWN})`;

/**
 * What is read of each table, in the order in which it is written: a backup before its copies, and the sums last, because
 * the triggers of the file have summed up only the rows that it has.
 */
export const READ: readonly (readonly [table: string, sql: string])[] = [
  ["installation", "SELECT * FROM installation"],
  ["schedules", "SELECT * FROM schedules"],
  ["databases", `SELECT * FROM databases WHERE server ${OWN}`],
  ["storage_identities", "SELECT * FROM storage_identities"],
  ["clock_trust", "SELECT * FROM clock_trust"],
  ["host_export", "SELECT * FROM host_export WHERE host IN ('', $host)"],
  ["backups", `${RECENT} SELECT backups.* FROM backups JOIN recent ON recent.id = backups.id`],
  ["copies", `${RECENT} SELECT copies.* FROM copies JOIN recent ON recent.id = copies.backup_id`],
  [
    "runs",
    `SELECT * FROM (SELECT * FROM runs WHERE host = $host ORDER BY started_at DESC, id DESC LIMIT ${RUNS_KEPT}) AS newest`,
  ],
  [
    "alerts",
    `SELECT * FROM alerts WHERE resolved_at IS NULL UNION
      SELECT * FROM (SELECT * FROM alerts ORDER BY created_at DESC, id DESC LIMIT ${ROWS_KEPT}) AS newest`,
  ],
  ["leases", "SELECT * FROM leases"],
  ["hosts", "SELECT * FROM hosts"],
  [
    "restore_tests",
    `SELECT * FROM restore_tests WHERE id IN (
        SELECT id FROM (SELECT id FROM restore_tests WHERE server ${OWN} ORDER BY finished_at DESC LIMIT ${ROWS_KEPT}) AS newest
        UNION SELECT latest::json ->> 'id' FROM tested_databases WHERE server ${OWN}
        UNION SELECT passed::json ->> 'id' FROM tested_databases WHERE server ${OWN})`,
  ],
  ["lock_probes", `SELECT * FROM lock_probes ORDER BY probed_at DESC LIMIT ${ROWS_KEPT}`],
  ["rule_marks", `SELECT * FROM rule_marks WHERE server ${OWN}`],
  [
    "recovery_kits",
    "SELECT * FROM recovery_kits WHERE host IN ('', $host) ORDER BY host <> $host, id DESC LIMIT 1",
  ],
  ["storages", "SELECT * FROM storages WHERE host IN ('', $host)"],
  ["copy_totals", `SELECT * FROM copy_totals WHERE server ${OWN}`],
  ["run_totals", "SELECT * FROM run_totals"],
  ["latest_backups", `SELECT * FROM latest_backups WHERE server ${OWN}`],
  ["verified_days", "SELECT * FROM verified_days"],
  ["stored_months", `SELECT * FROM stored_months WHERE server ${OWN}`],
];
/**
 * What is not read: what each process or host does for itself, what only removal needs, and the tables that the file's own
 * triggers make.
 */
export const NOT_READ: readonly string[] = [
  ...[
    "deliveries",
    "listings",
    "scratch_databases",
    "slots",
    "tombstones",
    "retained_backups",
    "tested_databases",
  ],
];
/** Emptied first, because their rows refer to others. Notices of other hosts are sent by them. */
const EMPTIED = ["deliveries", "copies"];
/** Leases that outlived an outage are kept, whoever has them in the catalog: the runs behind them go on. */
const CARRIED = "SELECT leases.* FROM leases JOIN carried_leases USING (name, run_id)";
/** Those that are open, and those that were when they were last read. */
const OPEN_ALERTS = `SELECT * FROM alerts
  WHERE resolved_at IS NULL OR id IN (SELECT value FROM json_each($open))`;
const FLEET_KNOWN_AT = "INSERT OR REPLACE INTO fleet_knowledge VALUES (1, ?)";

/** Whose records a host keeps. */
export interface Own {
  host: string;
  servers: readonly string[];
}

/**
 * Replaces the knowledge of the file by what the catalog has now. Meanwhile no process of this host can write the file, so
 * a change that the reading does not see is made in the file after it.
 */
export async function learn(
  file: SpoolFile,
  transactions: Pick<Transactions, "snapshot" | "label">,
  { host, servers }: Own,
  clock: Clock,
): Promise<void> {
  await file.inTransaction("store what the catalog has", async (database) => {
    // Changes that wait are not in the catalog yet.
    if (!file.isEmpty()) return;
    // A reload may have added servers, of which this host has recorded databases.
    const seen = database.query<{ server: string }, []>("SELECT DISTINCT server FROM databases").all();
    const all = new Set([...servers, ...seen.map(({ server }) => server)]);
    const values = { host, servers: JSON.stringify([...all]) };
    const read: [table: string, Row[]][] = [];
    await using snapshot = await transactions.snapshot("read for the spool");
    for (const [table, sql] of READ) read.push([table, await snapshot.rows(sql, values)]);
    // Without a pause: if the catalog is lost meanwhile, a reader must not find a half of it.
    const carried = database.query<Row, []>(CARRIED).all();
    for (const table of EMPTIED) database.run(`DELETE FROM ${table}`);
    for (const [table, rows] of read) replace(database, table, rows);
    insert(database, "leases", carried);
    const at = clock.now().toISOString();
    database.run("UPDATE spool SET known_at = ?, place = ?", [at, transactions.label]);
    database.run(FLEET_KNOWN_AT, [at]);
  });
}

/** Reads only the hosts and the open alerts, so that an outage shows them as of its beginning. */
export async function learnFleet(
  file: SpoolFile,
  transactions: Pick<Transactions, "do">,
  clock: Clock,
): Promise<void> {
  await file.inTransaction("store the hosts and alerts", async (database) => {
    if (!file.isEmpty()) return;
    const open = database.query<{ id: string }, []>("SELECT id FROM alerts WHERE resolved_at IS NULL").all();
    const values = { open: JSON.stringify(open.map(({ id }) => id)) };
    const read = await transactions.do("read the hosts and alerts", async ({ rows }) => ({
      at: clock.now().toISOString(),
      hosts: await rows<Row>("SELECT * FROM hosts", {}),
      alerts: await rows<Row>(OPEN_ALERTS, values),
    }));
    replace(database, "hosts", read.hosts);
    insert(database, "alerts", read.alerts);
    database.run(FLEET_KNOWN_AT, [read.at]);
  });
}

function replace(database: Database, table: string, rows: readonly Row[]): void {
  database.run(`DELETE FROM ${table}`);
  insert(database, table, rows);
}

function insert(database: Database, table: string, rows: readonly Row[]): void {
  const [first] = rows;
  if (!first) return;
  const known = database
    .query<{ name: string }, [string]>("SELECT name FROM pragma_table_info(?)")
    .all(table);
  const columns = known.map(({ name }) => name).filter((name) => name in first);
  const statement = database.query<never, Binding[]>(
    `INSERT OR REPLACE INTO ${table} (${columns.map((name) => `"${name}"`)}) VALUES (${columns.map(() => "?")})`,
  );
  for (const row of rows) statement.run(...columns.map((name) => row[name] ?? null));
}
