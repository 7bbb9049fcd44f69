/**
 * `npm run bench:parallel [-- --size 0.5] [--jobs 1,2,4] [--runs N] [--tables N]
 * [--compression none]`: measures backups in several streams (`dump.jobs`) and their restores against `pg_dump -Fd -j` and
 * `pg_restore -j`, which spool uncompressed files, and backups against `pg_dump -Fc`. pg321 also compresses and encrypts.
 * All of them alternate, so that a drift in the machine's speed affects each. Prints medians, and ratios to the stock tool
 * with the same number of jobs, and the CPU time of the programs without the server's: on a busy machine only that can be
 * compared. Use a size and jobs that fit the machine: with fewer cores than jobs, the server, pg_dump and
 * the compression share them.
 */
import { rm } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, EXECUTABLE } from "../scripts/build.ts";
import { Installation, localStorage } from "../test/lab/installation.ts";
import { connectTo, startPostgres } from "../test/lab/servers/postgres.ts";
import { fillBenchDatabase } from "./database.ts";
import type { Measured } from "./measure.ts";
import { measure, median } from "./measure.ts";

const { values } = parseArgs({
  options: {
    size: { type: "string", default: "0.5" },
    jobs: { type: "string", default: "1,2,4" },
    runs: { type: "string", default: "3" },
    tables: { type: "string", default: "8" },
    compression: { type: "string", default: "zstd" },
  },
});
const DATABASE = "bench";
const SETTINGS = ["maintenance_work_mem = '256MB'", "max_wal_size = '4GB'", "jit = off"];
const jobs = values.jobs.split(",").map(Number);
const tables = Number(values.tables);

await build(EXECUTABLE);
await using postgres = await startPostgres({ settings: SETTINGS });
await inDatabase("postgres", `create database ${DATABASE}`);
console.error(`bench: filling ${tables} tables, about ${values.size} GB together`);
const sql = connectTo(postgres.address, DATABASE);
for (let i = 1; i <= tables; i++) {
  await fillBenchDatabase(sql, Number(values.size) / tables);
  await sql.unsafe(`create index on entry (customer, at); alter table entry rename to entry_${i};
    alter index entry_pkey rename to entry_${i}_pkey; alter index entry_customer_at_idx rename to entry_${i}_customer`);
}
await sql.unsafe("vacuum analyze");
await sql.unsafe("checkpoint");
await sql.end();
await using installation = await Installation.make({
  postgres: postgres.address,
  databases: [DATABASE],
  storages: (directory) => [localStorage("disk", directory)],
});
const { bin_dir, socket_dir, port, user, password } = postgres.address;
const libpq = { PGHOST: socket_dir, PGPORT: String(port), PGUSER: user, PGPASSWORD: password };
const env = { PG321_CONFIG: installation.configFile };
const spool = join(installation.directory, "stock");

interface Times {
  /** `pg_dump -Fc`, which has one stream whatever the number of jobs. */
  oneStream: Measured[];
  stockDump: Measured[];
  dump: Measured[];
  stockRestore: Measured[];
  restore: Measured[];
}
const times = new Map<number, Times>(
  jobs.map((count) => [count, { oneStream: [], stockDump: [], dump: [], stockRestore: [], restore: [] }]),
);
for (let round = 0; round < Number(values.runs); round++)
  for (const [count, all] of times) {
    await once(count, all);
    const last = Object.entries(all).map(([name, list]) => `${name} ${seconds(list.at(-1)?.wallMs ?? 0)} s`);
    console.error(`bench: ${count} jobs: ${last.join(", ")}`);
  }

console.log(`${cpus().length} CPUs, about ${values.size} GB in ${tables} tables, medians of ${values.runs}`);
for (const [count, { oneStream, stockDump, dump, stockRestore, restore }] of times) {
  line(`dump, ${count} jobs`, "pg_dump -Fc -Z0", oneStream, dump);
  line(`dump, ${count} jobs`, "pg_dump -Fd -Z0", stockDump, dump);
  line(`restore, ${count} jobs`, "pg_restore", stockRestore, restore);
}

async function once(count: number, all: Times): Promise<void> {
  await installation.configure({
    more: `[dump]\njobs = ${count}\ncounts = false\n[compression]\nalgorithm = "${values.compression}"`,
  });
  await rm(spool, { recursive: true, force: true });
  all.oneStream.push(await measured([join(bin_dir, "pg_dump"), "-Fc", "-Z0", "-f", spool, DATABASE], libpq));
  await rm(spool, { recursive: true, force: true });
  const stock = ["-Fd", "-Z0", "-j", `${count}`, "-f", spool, DATABASE];
  all.stockDump.push(await measured([join(bin_dir, "pg_dump"), ...stock], libpq));
  all.dump.push(await measured([EXECUTABLE, "backup", "--log-level", "error"], env));
  const restore = ["-j", `${count}`, "-d", "target", spool];
  all.stockRestore.push(await intoTarget([join(bin_dir, "pg_restore"), ...restore], libpq));
  await rm(spool, { recursive: true, force: true });
  const words = ["restore", "latest", "-d", DATABASE, "-t", "main/target", "--log-level", "error"];
  all.restore.push(await intoTarget([EXECUTABLE, ...words], env));
}

/** Into a new, empty database, which is dropped afterwards. */
async function intoTarget(argv: string[], environment: Record<string, string>): Promise<Measured> {
  await inDatabase("postgres", "create database target template template0");
  const result = await measured(argv, environment);
  await inDatabase("postgres", "drop database target");
  return result;
}

function line(what: string, stock: string, stockRuns: Measured[], runs: Measured[]): void {
  const [one, other] = [median(stockRuns), median(runs)];
  const of = ({ wallMs, cpuMs }: typeof one) => `${seconds(wallMs)} s (CPU ${seconds(cpuMs)} s)`;
  const ratio = (other.wallMs / one.wallMs).toFixed(2);
  console.log(`${what.padEnd(18)} ${`${stock} ${of(one)}, pg321 ${of(other)}`.padEnd(70)} ${ratio} ×`);
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(2);
}

async function measured(argv: string[], environment: Record<string, string>): Promise<Measured> {
  const result = await measure({ argv, env: environment });
  if (result.exitCode !== 0) throw new Error(`${argv.join(" ")}: exit ${result.exitCode}\n${result.stderr}`);
  return result;
}

async function inDatabase(database: string, statement: string): Promise<void> {
  const admin = connectTo(postgres.address, database);
  await admin.unsafe(statement);
  await admin.end();
}
