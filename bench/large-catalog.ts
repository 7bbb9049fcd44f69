import { Database } from "bun:sqlite";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { loadConfig } from "../src/config/load.ts";
import { openContext } from "../src/jobs/context.ts";
import { silentProgress } from "../src/jobs/progress.ts";
import { backupRecord, copyRecord } from "../test/suites/catalog/records.ts";

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

export interface Shape {
  backups: number;
  databases: number;
  /** `keep.days` of every storage. */
  days: number;
  /** Time from one backup to the next; 17 minutes if not given. */
  secondsApart?: number;
  /** More TOML: top-level tables. */
  more?: string;
}

/** Makes a catalog with many backups of many databases, each with a copy in every storage. */
export async function makeCatalog(
  directory: string,
  { backups, databases, days, secondsApart = 17 * 60, more = "" }: Shape,
): Promise<void> {
  for (const name of STORAGES) await mkdir(join(directory, name));
  const tables = STORAGES.map(
    (name) =>
      `[[storage]]\nname = "${name}"\ntype = "local"\npath = "${join(directory, name)}"\nkeep.days = ${days}\nkeep.last = 3\nkeep.monthly = 12\n`,
  );
  const config = `state_dir = "${directory}/state"\n[[server]]\nname = "main"\n${tables.join("")}[encryption]\nmode = "none"\n${more}`;
  await writeFile(join(directory, "config.toml"), config, { mode: 0o600 });
  const context = await contextIn(directory);
  if (backups === 0) return context[Symbol.asyncDispose]();
  // About the size of a manifest.
  const first = backupRecord({ status: "VERIFIED", dump_bytes: 1_000_000, manifest: "m".repeat(1_000) });
  await context.catalog.insertBackup(first);
  for (const storage of STORAGES)
    await context.catalog.putCopy(copyRecord(first, { storage, state: "CONFIRMED" }));
  const { catalog: place } = context.config;
  if (place.type !== "sqlite") throw new Error("the bench fills a SQLite catalog");
  const { path } = place;
  await context[Symbol.asyncDispose]();
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
  const made = { id, database: `'database-' || (i % ${databases})`, started_at: startedAt };
  database.run(
    `${numbers} INSERT INTO backups SELECT ${columns("backups", made)} FROM backups t, n WHERE t.id = ?`,
    [first.id],
  );
  // The copies of a backup one after the other, as a run makes them.
  database.run(
    `${numbers} INSERT INTO copies SELECT ${columns("copies", { backup_id: id })} FROM n CROSS JOIN copies t WHERE t.backup_id = ?`,
    [first.id],
  );
}
