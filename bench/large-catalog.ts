import { Database } from "bun:sqlite";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { FILL_LATEST } from "../src/catalog/sqlite/migration/latest-backups.ts";
import { FILL_RETAINED } from "../src/catalog/sqlite/migration/retained-backups.ts";
import { loadConfig } from "../src/config/load.ts";
import { openContext } from "../src/jobs/context.ts";
import { silentProgress } from "../src/jobs/progress.ts";
import { settleMarks } from "../src/status/rule-changes.ts";
import { hostRecord } from "../test/suites/catalog/hosts.ts";
import { backupRecord, copyRecord } from "../test/suites/catalog/records.ts";
import type { Shape } from "./catalog-shape.ts";
import { fillPostgres } from "./large-postgres.ts";

export const STORAGES = ["disk", "nas", "vault"];

/** The context of the config in a directory. */
export async function contextIn(directory: string) {
  return openContext({
    config: await loadConfig(join(directory, "config.toml"), { env: {} }),
    log: silentLog,
    clock: systemClock,
    signal: new AbortController().signal,
    progress: silentProgress,
  });
}

/** Makes a catalog with many backups of many databases, each with a copy in every storage. */
export async function makeCatalog(directory: string, shape: Shape): Promise<void> {
  const { backups, databases, servers = 0 } = shape;
  for (const name of STORAGES) await mkdir(join(directory, name));
  await writeFile(join(directory, "config.toml"), configOf(directory, shape), { mode: 0o600 });
  const context = await contextIn(directory);
  if (backups === 0) return context[Symbol.asyncDispose]();
  const { overview } = context.catalog;
  for (let server = 0; server < servers; server++) {
    const own = Array.from({ length: databases }, (_, i) => i).filter((i) => i % servers === server);
    const names = own.map((i) => `database-${i}`);
    await overview.seeDatabases(`server-${server}`, names, new Date().toISOString());
  }
  // About the size of a manifest.
  const first = backupRecord({
    ...(servers > 0 && { server: "server-0", database: "database-0" }),
    status: "VERIFIED",
    dump_bytes: 1_000_000,
    manifest: "m".repeat(1_000),
  });
  await context.catalog.insertBackup(first);
  for (const storage of STORAGES)
    await context.catalog.putCopy(copyRecord(first, { storage, state: "CONFIRMED", object_bytes: 300_000 }));
  const { catalog: place } = context.config;
  await context[Symbol.asyncDispose]();
  if (place.type === "sqlite") fillSqlite(place.path, first.id, shape);
  else await fillPostgres(place.url.reveal(), first.id, shape);
  if (servers > 0) await prove(directory);
}

/** Judges the marks of all databases, and records that each was restored five times. */
async function prove(directory: string): Promise<void> {
  await using context = await contextIn(directory);
  const { catalog, clock } = context;
  for (const { server, database, good } of await catalog.overview.standings(clock.now()))
    for (let test = 0; test < 5 && good !== null; test++)
      await catalog.restoreTests.add({
        ...{ id: crypto.randomUUID(), run_id: null, prover: null, backup_id: good.id, server, database },
        ...{ backup_started_at: good.started_at, storage: "disk", target: "throwaway", outcome: "PASSED" },
        ...{ started_at: good.started_at, finished_at: clock.now().toISOString() },
        ...{ fetch_ms: 12, restore_ms: 3_456, check_ms: 78, dump_bytes: 1_000_000, error: null },
        checks: [{ name: "rows", is_ok: true, expected: 3, found: 3, detail: null }],
      });
  await settleMarks(context);
}

/** Gives each server of a catalog to a host of its own, and this host's config the server `own` alone. */
export async function makeFleet(directory: string, shape: Shape, own: string): Promise<void> {
  await writeFile(join(directory, "config.toml"), configOf(directory, shape, [own]), { mode: 0o600 });
  await using context = await contextIn(directory);
  const { catalog, clock, host, config } = context;
  // Later ones than the bench takes, so that no host falls silent in it.
  const heartbeat_at = new Date((await catalog.leaseTime(clock)).getTime() + 3_600_000).toISOString();
  const storages = config.storage.map(({ name, type }) => ({ name, type }));
  const whole = catalog.whole ?? catalog;
  for (let server = 0; server < (shape.servers ?? 0); server++) {
    const name = `server-${server}`;
    const servers = [{ name, at: `${name}.example:5432` }];
    const record = { host: name === own ? host : `host-${server}`, heartbeat_at, storages, servers };
    await whole.hosts.put(hostRecord({ ...record, problems: [] }));
  }
}

/** `names`: the servers of the config; by default all of the catalog. */
function configOf(
  directory: string,
  { servers = 0, days, more = "", url }: Shape,
  names: readonly string[] = Array.from({ length: servers }, (_, i) => `server-${i}`),
): string {
  const tables = names.map((name) => `[[server]]\nname = "${name}"\nhost = "${name}.example"\n`);
  const storages = STORAGES.map(
    (name) =>
      `[[storage]]\nname = "${name}"\ntype = "local"\npath = "${join(directory, name)}"\nkeep.days = ${days}\nkeep.last = 3\nkeep.monthly = 12\n`,
  );
  const catalog = url === undefined ? "" : `[catalog]\nurl = "${url}"\n[fleet]\nhost = "bench"\n`;
  return `state_dir = "${directory}/state"\n${tables.join("") || '[[server]]\nname = "main"\n'}${storages.join("")}${catalog}[encryption]\nmode = "none"\n${more}`;
}

function fillSqlite(
  path: string,
  firstId: string,
  { backups, databases, servers = 0, secondsApart = 17 * 60 }: Shape,
): void {
  using database = new Database(path);
  // Nothing is lost if making it is cut off, and a million rows in no order need the memory.
  for (const pragma of ["synchronous = OFF", "journal_mode = MEMORY", "cache_size = -4000000"])
    database.run(`PRAGMA ${pragma}`);
  const columns = (table: string, change: Record<string, string>) =>
    database
      .query<{ name: string }, []>(`SELECT name FROM pragma_table_info('${table}')`)
      .all()
      .map(({ name }) => change[name] ?? `t.${name}`)
      .join(", ");
  const numbers = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${backups - 1})`;
  // Unordered, like real ids.
  const id = "printf('%08x-0000-4000-8000-%012x', (i * 2654435761) % 4294967296, i)";
  const startedAt = `strftime('%Y-%m-%dT%H:%M:%fZ', 'now', printf('-%d seconds', i * ${secondsApart}))`;
  const made = {
    id,
    ...(servers > 0 && { server: `'server-' || (i % ${servers})` }),
    database: `'database-' || (i % ${databases})`,
    started_at: startedAt,
  };
  // Sums of a million records are made at once instead of record by record.
  const triggers = database
    .query<{ name: string; sql: string }, []>(
      "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name IN ('backups', 'copies')",
    )
    .all();
  for (const { name } of triggers) database.run(`DROP TRIGGER ${name}`);
  database.run(
    `${numbers} INSERT INTO backups SELECT ${columns("backups", made)} FROM backups t, n WHERE t.id = ?`,
    [firstId],
  );
  // The copies of a backup one after the other, as a run makes them.
  database.run(
    `${numbers} INSERT INTO copies SELECT ${columns("copies", { backup_id: id })} FROM n CROSS JOIN copies t WHERE t.backup_id = ?`,
    [firstId],
  );
  for (const table of ["copy_totals", "stored_months", "latest_backups", "retained_backups"])
    database.run(`DELETE FROM ${table}`);
  database.run(`INSERT INTO copy_totals
    SELECT server, database, storage, count(*), sum(ifnull(copies.object_bytes, 0)), max(started_at)
    FROM copies JOIN backups ON id = backup_id WHERE state = 'CONFIRMED' GROUP BY 1, 2, 3`);
  database.run(FILL_LATEST);
  database.run(FILL_RETAINED);
  for (const { sql } of triggers) database.run(sql);
}
