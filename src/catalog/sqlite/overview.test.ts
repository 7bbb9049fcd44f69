import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { boundTo } from "../fleet/fenced-catalog.ts";
import { migrate } from "./migration/migrate.ts";
import { MIGRATIONS } from "./migration/migrations.ts";
import { SqliteOverview } from "./overview.ts";

/** The last version without totals. */
const BEFORE_TOTALS = MIGRATIONS.slice(
  0,
  MIGRATIONS.findIndex((sql) => sql.includes("CREATE TABLE copy_totals")),
);

const BACKUP = `INSERT INTO backups (id, installation, server, database, kind, status, run_id, object_key, started_at,
  compression, encryption) VALUES ($id, 'i', $server, $database, 'dump', $status, 'r', 'k', $started_at, 'zstd', 'age')`;
const COPY =
  "INSERT INTO copies (backup_id, storage, object_key, state, object_bytes, error) VALUES ($id, $storage, 'k', $state, $bytes, $error)";
const RUN = `INSERT INTO runs (id, job, outcome, host, pid, started_at) VALUES ($id, $job, $outcome, 'h', 1, $started_at)`;

const opened = (database: Database) => new SqliteOverview(database, async (_doing, operation) => operation());
const at = (hour: number) => new Date(Date.UTC(2026, 0, 1, hour)).toISOString();

test("a catalog from before totals existed has them after its migration, and keeps them correct", async () => {
  using database = new Database(":memory:", { strict: true });
  migrate(database, "c", { migrations: BEFORE_TOTALS });
  const [backup, copy, run] = [BACKUP, COPY, RUN].map((sql) => database.query(sql)) as [
    ReturnType<Database["query"]>,
    ReturnType<Database["query"]>,
    ReturnType<Database["query"]>,
  ];
  for (const [id, name, started_at] of [
    ["a", "app", at(1)],
    ["b", "app", at(2)],
    ["c", "shop", at(3)],
  ] as const)
    backup.run({ id, server: "main", database: name, status: "VERIFIED", started_at });
  copy.run({ id: "a", storage: "disk", state: "CONFIRMED", bytes: 5, error: null });
  copy.run({ id: "b", storage: "disk", state: "CONFIRMED", bytes: null, error: null });
  copy.run({ id: "b", storage: "usb", state: "FAILED", bytes: null, error: "full" });
  copy.run({ id: "c", storage: "usb", state: "CONFIRMED", bytes: 7, error: null });
  for (const [id, job, outcome] of [
    ["1", "backup", "OK"],
    ["2", "backup", "OK"],
    ["3", "backup", "RUNNING"],
    ["4", "verify", "FAILED"],
  ] as const)
    run.run({ id, job, outcome, started_at: at(Number(id)) });

  migrate(database, "c");
  const overview = opened(database);
  const total = (name: string, storage: string, copies: number, bytes: number, newest: string | null) => ({
    server: "main",
    database: name,
    storage,
    copies,
    bytes,
    newest_started_at: newest,
  });
  expect(await overview.copyTotals(NOW)).toEqual([
    total("app", "disk", 2, 5, at(2)),
    total("shop", "usb", 1, 7, at(3)),
  ]);
  expect(await overview.runTotals()).toEqual([
    { job: "backup", outcome: "OK", runs: 2 },
    { job: "verify", outcome: "FAILED", runs: 1 },
  ]);
  expect(await overview.databases()).toEqual([
    { server: "main", database: "app", first_seen_at: at(1), last_seen_at: at(2), gone_at: null },
    { server: "main", database: "shop", first_seen_at: at(3), last_seen_at: at(3), gone_at: null },
  ]);
  expect((await overview.latestBackups(NOW)).map(({ good }) => good?.id)).toEqual(["b", "c"]);

  database.run("UPDATE copies SET state = 'DELETED' WHERE backup_id = 'b'");
  database.run("UPDATE runs SET outcome = 'INTERRUPTED' WHERE id = '3'");
  expect(await overview.copyTotals(NOW)).toEqual([
    total("app", "disk", 1, 5, at(1)),
    total("shop", "usb", 1, 7, at(3)),
  ]);
  expect(await overview.runTotals()).toContainEqual({ job: "backup", outcome: "INTERRUPTED", runs: 1 });
});

/** After every record. */
const NOW = new Date("2100-01-01T00:00:00Z");

/** All queries of `/status` and a scrape. */
async function askEverything(overview: SqliteOverview): Promise<void> {
  await overview.databases();
  await overview.storages();
  await overview.copyTotals(NOW);
  await overview.runTotals();
  await overview.latestBackups(NOW);
  await overview.standings(NOW);
  await overview.latestRuns(NOW);
  await overview.scheduleRuns("backup", NOW);
  await overview.lastScheduled("backup");
  await overview.recentBackups("main", "db1", 48);
}

test("no query reads through all of 100,000 backups with three copies each", async () => {
  using database = new Database(":memory:", { strict: true });
  migrate(database, "c");
  database
    .transaction(() => {
      database.run(`WITH RECURSIVE n (n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM n WHERE n < 99999)
        INSERT INTO backups (id, installation, server, database, kind, status, run_id, object_key, started_at,
          compression, encryption)
        SELECT printf('%08d', n), 'i', 'main', 'db' || (n % 10), 'dump', 'VERIFIED', 'r', 'k',
          strftime('%Y-%m-%dT%H:%M:%fZ', 1700000000 + n * 60, 'unixepoch'), 'zstd', 'age' FROM n`);
      for (const storage of ["disk", "r2", "usb"])
        database.run(`INSERT INTO copies (backup_id, storage, object_key, state, object_bytes)
          SELECT id, '${storage}', 'k', 'CONFIRMED', 10 FROM backups`);
      database.run(`INSERT INTO runs (id, job, outcome, host, pid, started_at, schedule, scheduled_for)
        SELECT id, iif(rowid % 2, 'backup', 'cleanup'), 'OK', 'h', 1, started_at, 'backup', started_at FROM backups`);
    })
    .immediate();

  const asked = new Set<string>();
  let rows = 0;
  const recording = new Proxy(database, {
    get(target, name) {
      if (name !== "query") return boundTo(target, name);
      return (sql: string) => {
        asked.add(sql);
        const statement = target.query(sql);
        return {
          all: (values: Record<string, string>) => {
            const found = statement.all(values as never);
            rows += found.length;
            return found;
          },
        };
      };
    },
  });
  const overview = opened(recording);
  await askEverything(overview);

  const totals = await overview.copyTotals(NOW);
  expect(totals).toHaveLength(30);
  expect(totals.reduce((sum, { copies }) => sum + copies, 0)).toBe(300_000);
  expect(await overview.runTotals()).toEqual([
    { job: "backup", outcome: "OK", runs: 50_000 },
    { job: "cleanup", outcome: "OK", runs: 50_000 },
  ]);
  expect(rows).toBeLessThan(300);
  const walks: string[] = [];
  const steps = new Set<string>();
  for (const sql of asked) {
    const plan = database.query<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${sql}`).all();
    for (const { detail } of plan) {
      if (/^(SCAN|SEARCH) backups\b/.test(detail)) steps.add(detail.replace(/ USING.*backups_by_server/, ""));
      if (/^SCAN (copies|runs)\b/.test(detail)) walks.push(`${detail}: ${sql}`);
      if (/TEMP B-TREE FOR ORDER BY/.test(detail)) walks.push(`${detail}: ${sql}`);
    }
  }
  expect(walks).toEqual([]);
  // The latest backups are found without a search among all.
  expect([...steps].sort()).toEqual([
    "SEARCH backups (server=? AND database=?)",
    "SEARCH backups USING INDEX sqlite_autoindex_backups_1 (id=?)",
  ]);
  expect(asked.size).toBeGreaterThan(8);
}, 60_000);
