/**
 * `npm run bench:counts [-- --sizes 0.1,0.5,1] [--runs N]`: measures how much the counts beside a dump (`dump.counts`)
 * cost: wall time, CPU of pg321 with pg_dump, and CPU of the server. Backups with and without them alternate, so that a
 * drift in the machine's speed affects both. Prints medians and their ratio.
 */

import { readFileSync } from "node:fs";
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
  options: { sizes: { type: "string", default: "0.1,0.5,1" }, runs: { type: "string", default: "5" } },
});
const DATABASE = "bench";
/** Of the kernel, in `/proc/PID/stat`. */
const TICK_MS = 10;

interface Cost {
  wallMs: number;
  cpuMs: number;
  serverCpuMs: number;
}

await build(EXECUTABLE);
console.log(`${cpus().length} CPUs; medians of ${values.runs} backups with counts / without`);
for (const size of values.sizes.split(",").map(Number)) print(size, await costs(size, Number(values.runs)));

async function costs(sizeGb: number, runs: number): Promise<{ with: Cost[]; without: Cost[] }> {
  await using postgres = await startPostgres();
  const admin = connectTo(postgres.address, "postgres");
  await admin.unsafe(`create database ${DATABASE}`);
  await admin.end();
  const sql = connectTo(postgres.address, DATABASE);
  console.error(`bench: filling a database of about ${sizeGb} GB`);
  await fillBenchDatabase(sql, sizeGb);
  // As autovacuum would: otherwise the first reader writes every page.
  await sql.unsafe("vacuum analyze");
  await sql.unsafe("checkpoint");
  await sql.end();
  await using counting = await installation(postgres, true);
  await using plain = await installation(postgres, false);
  const done = { with: [] as Cost[], without: [] as Cost[] };
  for (let run = 0; run < runs; run++) {
    // The first of a pair may profit from what the one before it left in the caches.
    const pair = [
      async () => done.with.push(await cost(postgres, counting)),
      async () => done.without.push(await cost(postgres, plain)),
    ];
    for (const one of run % 2 ? pair.reverse() : pair) await one();
  }
  return done;
}

async function cost(postgres: LabPostgres, { configFile, directory }: Installation): Promise<Cost> {
  const before = serverCpuMs(postgres);
  const { exitCode, stderr, wallMs, cpuMs } = await measure({
    argv: [EXECUTABLE, "backup", "--log-level", "error"],
    env: { PG321_CONFIG: configFile },
  });
  if (exitCode !== 0 || stderr !== "") throw new Error(`exit ${exitCode}\n${stderr}`);
  const serverMs = serverCpuMs(postgres) - before;
  await rm(join(directory, "disk", "main"), { recursive: true, force: true });
  return { wallMs, cpuMs, serverCpuMs: serverMs };
}

/** CPU time of the sessions that have ended. */
function serverCpuMs({ address }: LabPostgres): number {
  const pid = readFileSync(join(address.data_dir, "postmaster.pid"), "utf8").split("\n")[0];
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[13]) + Number(fields[14])) * TICK_MS;
}

function installation({ address }: LabPostgres, counts: boolean): Promise<Installation> {
  return Installation.make({
    postgres: address,
    databases: [DATABASE],
    more: `[dump]\ncounts = ${counts}`,
    storages: (directory) => [localStorage("disk", directory)],
  });
}

function print(sizeGb: number, { with: counted, without }: { with: Cost[]; without: Cost[] }): void {
  const figure = (name: keyof Cost) => {
    const [one, other] = [medianOf(counted, name), medianOf(without, name)];
    return `${(one / 1000).toFixed(2)} / ${(other / 1000).toFixed(2)} s (${(one / other).toFixed(3)})`;
  };
  console.log(
    `${sizeGb} GB: wall ${figure("wallMs")}, CPU of pg321 and pg_dump ${figure("cpuMs")}, CPU of the server ${figure("serverCpuMs")}`,
  );
}

function medianOf(runs: readonly Cost[], name: keyof Cost): number {
  const sorted = runs.map((run) => run[name]).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}
