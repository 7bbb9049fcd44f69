/**
 * `npm run bench [-- --size GB] [--runs N] [--only backup|restore|start]`: compares pg321 with backups by
 * hand, in one run on one machine, and prints ratios. Writes bench/results/DATE.json.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, EXECUTABLE } from "../scripts/build.ts";
import { Installation, localStorage, s3Storage } from "../test/lab/installation.ts";
import { connectTo, startPostgres } from "../test/lab/servers/postgres.ts";
import type { S3Lab } from "../test/lab/servers/s3.ts";
import { startRgw, startSwift } from "../test/lab/servers/s3.ts";
import { byHand, type HandEnvironment } from "./by-hand.ts";
import { fillBenchDatabase } from "./database.ts";
import type { Measured } from "./measure.ts";
import { measure, median } from "./measure.ts";

const { values } = parseArgs({
  options: {
    size: { type: "string", default: "1" },
    runs: { type: "string", default: "3" },
    only: { type: "string" },
  },
});
const sizeGb = Number(values.size);
const runs = Number(values.runs);
const DATABASE = "bench";
let hasPlainDump = false;

/** A command to measure; `prepare` is not measured. */
interface Subject {
  name: string;
  argv: string[];
  env?: Record<string, string>;
  prepare?: () => Promise<void>;
  /** How often it runs; fewer times for slow commands. */
  runs?: number;
}

const directory = await mkdtemp(join(tmpdir(), "pg321-bench-"));
try {
  await build(EXECUTABLE);
  await using postgres = await startPostgres();
  await using r2 = await startRgw();
  await using b2 = await startSwift();
  const admin = connectTo(postgres.address, "postgres");
  await admin`create database bench`;
  await admin.end();
  const sql = connectTo(postgres.address, DATABASE);
  console.error(`bench: filling a database of about ${sizeGb} GB`);
  await fillBenchDatabase(sql, sizeGb);
  await sql.end();
  const hand: HandEnvironment = {
    directory,
    postgres: postgres.address,
    database: DATABASE,
    r2,
    b2,
    buckets: [await r2.makeBucket(), await b2.makeBucket()],
  };
  const results = await measureAll(hand);
  const dumpBytes = (
    await measure({ argv: ["bash", "-c", `${byHand.dump(hand)} | wc -c >&2`], env: byHand.env(hand) })
  ).stderr.trim();
  const gb = Number(dumpBytes) / 1e9;
  print(results, gb);
  await save(results, gb);
} finally {
  await rm(directory, { recursive: true, force: true });
}

async function measureAll(hand: HandEnvironment): Promise<Map<string, Measured[]>> {
  await using one = await installation(hand, { zstd: true, storages: "one" });
  await using three = await installation(hand, { zstd: true, storages: "three" });
  await using gzip = await installation(hand, { zstd: false, storages: "one" });
  const env = byHand.env(hand);
  const pg321 = (inst: Installation) => ({
    argv: [EXECUTABLE, "backup", "--log-level", "error"],
    env: { PG321_CONFIG: inst.configFile },
  });
  const bash = (script: string) => ({ argv: ["bash", "-o", "pipefail", "-c", script], env });
  const subjects: Subject[] = [
    { name: "start: pg321 --version", argv: [EXECUTABLE, "--version"], runs: 10 },
    { name: "(a) pg_dump alone", ...bash(`${byHand.dump(hand)} | cat > /dev/null`) },
    {
      name: "    zstd -3 alone",
      ...bash(`zstd -3 -T1 -q -c < ${directory}/plain.dump > /dev/null`),
      prepare: () => plainDump(hand),
    },
    { name: "(b) by hand, zstd -3, three places", ...bash(byHand.threePlaces(hand)) },
    { name: "(d) pg321, zstd -3, three storages", ...pg321(three) },
    { name: "(d) pg321, zstd -3, one storage", ...pg321(one) },
    { name: "(c) by hand, gzip -9, one place", ...bash(byHand.gzip(hand)), runs: 1 },
    { name: "(d) pg321, gzip -9, one storage", ...pg321(gzip), runs: 1 },
    { name: "(e) pg_restore of a plain file", ...bash(byHand.restore(hand)), prepare: () => plainDump(hand) },
    {
      name: "(f) pg321 restore",
      argv: [
        EXECUTABLE,
        "restore",
        "latest",
        "-d",
        DATABASE,
        "--target",
        "main/bench_restored",
        "--create",
        "--log-level",
        "error",
      ],
      env: { PG321_CONFIG: one.configFile },
      prepare: () => dropRestored(hand),
    },
  ].filter(({ name }) => values.only === undefined || name.includes(values.only));
  const results = new Map<string, Measured[]>();
  // In turn, so that a drift in the machine's speed affects all of them.
  for (let run = 0; run < Math.max(runs, 10); run++) {
    for (const subject of subjects) {
      if (run >= (subject.runs ?? runs)) continue;
      await subject.prepare?.();
      const result = await measure(subject);
      if (result.exitCode !== 0)
        throw new Error(`${subject.name}: exit ${result.exitCode}\n${result.stderr}`);
      console.error(`bench: ${subject.name}: ${(result.wallMs / 1000).toFixed(2)} s`);
      results.set(subject.name, [...(results.get(subject.name) ?? []), result]);
    }
  }
  return results;
}

async function installation(
  hand: HandEnvironment,
  { zstd, storages }: { zstd: boolean; storages: "one" | "three" },
): Promise<Installation> {
  const buckets = [await (hand.r2 as S3Lab).makeBucket(), await (hand.b2 as S3Lab).makeBucket()] as const;
  return Installation.make({
    postgres: hand.postgres,
    databases: [DATABASE],
    more: `[compression]\nalgorithm = "${zstd ? "zstd" : "gzip"}"\nlevel = ${zstd ? 3 : 9}\n[dump]\nnice = 0\nio_class = "none"`,
    storages: (dir) => [
      localStorage("disk", dir),
      ...(storages === "three"
        ? [s3Storage("r2", hand.r2, buckets[0]), s3Storage("b2", hand.b2, buckets[1])]
        : []),
    ],
  });
}

async function plainDump(hand: HandEnvironment): Promise<void> {
  if (!hasPlainDump)
    await measure({
      argv: ["bash", "-c", `${byHand.dump(hand)} > ${directory}/plain.dump`],
      env: byHand.env(hand),
    });
  hasPlainDump = true;
  await dropRestored(hand);
}

async function dropRestored(hand: HandEnvironment): Promise<void> {
  const admin = connectTo(hand.postgres, "postgres");
  await admin.unsafe("drop database if exists bench_restored with (force)");
  await admin.end();
}

function print(results: Map<string, Measured[]>, gb: number): void {
  console.log(
    `\ndump ${gb.toFixed(2)} GB, ${cpus().length} × ${cpus()[0]?.model}, ${Math.round(totalmem() / 1e9)} GB of memory; medians of ${runs}\n`,
  );
  console.log(
    `${"".padEnd(38)}${"wall s".padStart(8)}${"cpu s".padStart(8)}${"cpu s/GB".padStart(10)}${"peak MiB".padStart(10)}${"MB/s".padStart(8)}`,
  );
  for (const [name, runsOfIt] of results) {
    const m = median(runsOfIt);
    const perGb = name.startsWith("start") ? "" : (m.cpuMs / 1000 / gb).toFixed(2);
    const rate = name.startsWith("start") ? "" : ((gb * 1000) / (m.wallMs / 1000)).toFixed(0);
    console.log(
      `${name.padEnd(38)}${(m.wallMs / 1000).toFixed(2).padStart(8)}${(m.cpuMs / 1000).toFixed(2).padStart(8)}${perGb.padStart(10)}${m.peakMib.toFixed(0).padStart(10)}${rate.padStart(8)}`,
    );
  }
  console.log("");
  for (const [what, value] of Object.entries(ratios(results, gb)))
    console.log(`${what.padEnd(64)}${value.toFixed(2).padStart(8)}`);
}

/** The required results: ratios of wall times, and CPU seconds. */
function ratios(results: Map<string, Measured[]>, gb: number): Record<string, number> {
  const of = (prefix: string) => {
    const found = [...results].find(([name]) => name.trim().startsWith(prefix));
    return found && median(found[1]);
  };
  const [a, zstd, b, c] = [of("(a)"), of("zstd -3 alone"), of("(b)"), of("(c)")];
  const [three, one, gzip] = [
    of("(d) pg321, zstd -3, three"),
    of("(d) pg321, zstd -3, one"),
    of("(d) pg321, gzip"),
  ];
  const [plain, restore] = [of("(e)"), of("(f)")];
  return {
    ...(three &&
      b && {
        "three storages: pg321 / by hand (wall)": three.wallMs / b.wallMs,
        "three storages: pg321 / by hand (cpu)": three.cpuMs / b.cpuMs,
      }),
    ...(c && gzip && { "gzip -9: by hand / pg321 (wall)": c.wallMs / gzip.wallMs }),
    ...(three &&
      a &&
      zstd && {
        "three storages: cpu s/GB beyond pg_dump and zstd": (three.cpuMs - a.cpuMs - zstd.cpuMs) / 1000 / gb,
      }),
    ...(one &&
      a &&
      zstd && {
        "one storage: cpu s/GB beyond pg_dump and zstd": (one.cpuMs - a.cpuMs - zstd.cpuMs) / 1000 / gb,
      }),
    ...(restore &&
      plain && { "restore: pg321 / pg_restore of a file (wall)": restore.wallMs / plain.wallMs }),
  };
}

async function save(results: Map<string, Measured[]>, gb: number): Promise<void> {
  const folder = join(import.meta.dir, "results");
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.json`);
  const figures = Object.fromEntries(
    [...results].map(([name, list]) => [name.trim(), list.map(({ stderr: _, ...rest }) => rest)]),
  );
  await writeFile(
    path,
    JSON.stringify({ dump_gb: gb, cpus: cpus().length, ratios: ratios(results, gb), figures }, null, 2),
  );
  console.log(`\nwrote ${path}`);
}
