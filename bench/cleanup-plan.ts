/**
 * `npm run bench:cleanup [-- --backups N]`: how long cleanup takes to read a large catalog and to plan, and how
 * much memory the process needs, on a real SQLite catalog. The plan alone is in `bench/retention.ts`.
 */
import { Database } from "bun:sqlite";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { loadConfig } from "../src/config/load.ts";
import { planCleanup } from "../src/jobs/cleanup-plan.ts";
import { openContext } from "../src/jobs/context.ts";
import { silentProgress } from "../src/jobs/progress.ts";
import { backupRecord, copyRecord } from "../test/suites/catalog-records.ts";
import { measure } from "./measure.ts";

const { values } = parseArgs({
  options: {
    backups: { type: "string", default: "100000" },
    /** Plans with the config in this directory, in a process that has done nothing else. */
    in: { type: "string" },
  },
});
const STORAGES = ["disk", "nas", "vault"];

async function contextIn(directory: string) {
  return openContext({
    config: await loadConfig(join(directory, "config.toml"), { env: {} }),
    log: silentLog,
    clock: systemClock,
    signal: new AbortController().signal,
    progress: silentProgress,
  });
}

/** A catalog of backups of 100 databases, one every 17 minutes, each with a copy in every storage. */
async function makeCatalog(directory: string, backups: number): Promise<void> {
  for (const name of STORAGES) await mkdir(join(directory, name));
  const tables = STORAGES.map(
    (name) =>
      `[[storage]]\nname = "${name}"\ntype = "local"\npath = "${join(directory, name)}"\nkeep.last = 3\n`,
  );
  const config = `state_dir = "${directory}/state"\n[[server]]\nname = "main"\n${tables.join("")}[encryption]\nmode = "none"\n`;
  await writeFile(join(directory, "config.toml"), config, { mode: 0o600 });
  const context = await contextIn(directory);
  const first = backupRecord({ status: "VERIFIED" });
  await context.catalog.insertBackup(first);
  for (const storage of STORAGES)
    await context.catalog.putCopy(copyRecord(first, { storage, state: "CONFIRMED" }));
  const { path } = context.config.catalog;
  await context[Symbol.asyncDispose]();
  using database = new Database(path);
  const columns = (table: string, change: Record<string, string>) =>
    database
      .query<{ name: string }, []>(`SELECT name FROM pragma_table_info('${table}')`)
      .all()
      .map(({ name }) => change[name] ?? `t.${name}`)
      .join(", ");
  const numbers = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${backups - 1})`;
  const id = "printf('%08x-0000-4000-8000-000000000000', i)";
  const startedAt = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', printf('-%d minutes', i * 17))";
  const made = { id, database: "'database-' || i % 100", started_at: startedAt };
  database.run(
    `${numbers} INSERT INTO backups SELECT ${columns("backups", made)} FROM backups t, n WHERE t.id = ?`,
    [first.id],
  );
  database.run(
    `${numbers} INSERT INTO copies SELECT ${columns("copies", { backup_id: id })} FROM copies t, n WHERE t.backup_id = ?`,
    [first.id],
  );
}

async function planIn(directory: string): Promise<void> {
  await using context = await contextIn(directory);
  const startedAt = performance.now();
  const { plan } = await planCleanup(context, {});
  console.error(JSON.stringify({ planMs: performance.now() - startedAt, decisions: plan.decisions.length }));
}

async function compare(backups: number): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-bench-"));
  try {
    await makeCatalog(directory, backups);
    for (let run = 0; run < 3; run++) {
      const { exitCode, stderr, peakMib } = await measure({
        argv: [process.execPath, import.meta.path, "--in", directory],
      });
      if (exitCode !== 0) throw new Error(stderr);
      const { planMs, decisions } = JSON.parse(stderr) as { planMs: number; decisions: number };
      const what = `${backups} backups with ${STORAGES.length} copies: read and planned`;
      console.log(
        `${what} in ${Math.round(planMs)} ms, ${decisions} decisions, ${Math.round(peakMib)} MiB at most`,
      );
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

await (values.in === undefined ? compare(Number(values.backups)) : planIn(values.in));
