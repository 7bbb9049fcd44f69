/**
 * `npm run bench:restore-test [-- --size 0.5] [--runs N]`: measures a restore test (fetch, decryption, decompression,
 * pg_restore, counts) against pg_restore alone from a plain file, into a server with the same settings. Both alternate, so
 * that a drift in the machine's speed affects both. Prints medians and their ratio; the whole command also makes the
 * throwaway cluster.
 */
import { rm } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, EXECUTABLE } from "../scripts/build.ts";
import { Installation, localStorage } from "../test/lab/installation.ts";
import type { LabPostgres } from "../test/lab/servers/postgres.ts";
import { connectTo, startPostgres } from "../test/lab/servers/postgres.ts";
import { fillBenchDatabase } from "./database.ts";
import { measure } from "./measure.ts";

const { values } = parseArgs({
  options: { size: { type: "string", default: "0.5" }, runs: { type: "string", default: "3" } },
});
const DATABASE = "bench";
/** Those of the throwaway cluster that the lab's server does not have. */
const SETTINGS = ["maintenance_work_mem = '256MB'", "max_wal_size = '1GB'", "jit = off"];

await build(EXECUTABLE);
await using postgres = await startPostgres({ settings: SETTINGS });
await run(postgres, "postgres", `create database ${DATABASE}`);
console.error(`bench: filling a database of about ${values.size} GB`);
const sql = connectTo(postgres.address, DATABASE);
await fillBenchDatabase(sql, Number(values.size));
await sql.end();
await using installation = await Installation.make({
  postgres: postgres.address,
  databases: [DATABASE],
  storages: (directory) => [localStorage("disk", directory)],
});
const env = { PG321_CONFIG: installation.configFile };
await measured([EXECUTABLE, "backup"], env);
const { bin_dir, socket_dir, port, user, password } = postgres.address;
const libpq = { PGHOST: socket_dir, PGPORT: String(port), PGUSER: user, PGPASSWORD: password };
const file = join(installation.directory, "plain.dump");
await measured([join(bin_dir, "pg_dump"), "-Fc", "-Z0", "-f", file, DATABASE], libpq);

const times = {
  alone: [] as number[],
  test: [] as number[],
  recovery: [] as number[],
  whole: [] as number[],
};
for (let round = 0; round < Number(values.runs); round++) {
  await run(postgres, "postgres", "create database alone template template0");
  times.alone.push(await measured([join(bin_dir, "pg_restore"), "-d", "alone", file], libpq));
  await run(postgres, "postgres", "drop database alone");
  times.whole.push(await measured([EXECUTABLE, "restore-test", "--log-level", "error"], env));
  const { json } = await installation.ok("status", "--json");
  const { backup_id } = json.databases[0].restore_test;
  const shown = (await installation.ok("show", backup_id, "--json")).json.restore_test;
  times.recovery.push(shown.fetch_ms + shown.restore_ms);
  times.test.push(shown.fetch_ms + shown.restore_ms + shown.check_ms);
}
await rm(file);

console.log(`${cpus().length} CPUs, about ${values.size} GB, medians of ${values.runs}`);
const alone = median(times.alone);
const line = (what: string, ms: number) =>
  console.log(`${what.padEnd(44)} ${(ms / 1000).toFixed(2).padStart(8)} s  ${(ms / alone).toFixed(2)} ×`);
line("pg_restore alone, from a plain file", alone);
line("recovery: fetch, open, pg_restore", median(times.recovery));
line("restore test: recovery and checks", median(times.test));
line("the whole command, with the throwaway cluster", median(times.whole));

async function measured(argv: string[], environment: Record<string, string>): Promise<number> {
  const { exitCode, stderr, wallMs } = await measure({ argv, env: environment });
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: exit ${exitCode}\n${stderr}`);
  return wallMs;
}

async function run({ address }: LabPostgres, database: string, statement: string): Promise<void> {
  const admin = connectTo(address, database);
  await admin.unsafe(statement);
  await admin.end();
}

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN;
}
