/**
 * `npm run bench:scale [-- --backups N --only JOB --catalog sqlite|postgres --runs N --plans FILE --fleet]`: measures what a
 * catalog of N backups with three copies each, of 2,000 databases of 200 servers, with marks and restore tests, costs: the
 * answers of the endpoint, `list` of one database, the plans of the jobs, the records of a run, and 50 daemons that write at
 * once. Each is measured in a process that does nothing else, several times: the best and the median time, memory in addition
 * to a catalog without records, and how long the event loop is blocked. The figures are in docs/scale.md.
 */
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import type { Catalog } from "../src/catalog/catalog.ts";
import { copyCatalog } from "../src/catalog/copy/copy.ts";
import { openCatalog } from "../src/catalog/open.ts";
import { serveHttp } from "../src/http/server.ts";
import { planRun } from "../src/jobs/cleanup/plan.ts";
import { removeEmptyRecords } from "../src/jobs/cleanup/remove-records.ts";
import type { JobContext } from "../src/jobs/context.ts";
import { backupsToVerify } from "../src/jobs/verify/choose.ts";
import { planRepair } from "../src/jobs/verify/repair-plan.ts";
import { listBackups } from "../src/status/list-backups.ts";
import { connectTo, disposable, type LabPostgres, startPostgres } from "../test/lab/servers/postgres.ts";
import { backupRecord, copyRecord, runRecord } from "../test/suites/catalog/records.ts";
import { plansOf } from "../test/suites/catalog-plans.ts";
import { contextIn, makeCatalog, makeFleet, STORAGES } from "./large-catalog.ts";
import { highWaterMib, measure } from "./measure.ts";

const { values } = parseArgs({
  options: {
    backups: { type: "string", default: "100000" },
    catalog: { type: "string", default: "sqlite" },
    /** Processes for each line; the best and the median count. */
    runs: { type: "string", default: "3" },
    /** A part of a job's name; may be given several times. */
    only: { type: "string", multiple: true },
    /** The file for the plan of each statement. */
    plans: { type: "string" },
    /** Each of the servers is another host's (only in PostgreSQL). */
    fleet: { type: "boolean", default: false },
    /** Measure in this directory, in a process that has done nothing else. */
    in: { type: "string" },
    job: { type: "string", default: "" },
  },
});
const DATABASES = 2_000;
const SERVERS = 200;
const PLACE = { server: "server-7", database: "database-7" };
const DAEMONS = 50;
/** Times that a short job is repeated: the median counts. */
const ROUNDS = 9;
/** A daemon records runs for months: after some of them its code is compiled. The first `ROUNDS` are reported as well. */
const RECORDED_RUNS = 60;

/** What is measured, and how often. */
interface Job {
  rounds: number;
  /** Returns what is done in each round. */
  prepare: (context: JobContext) => Promise<() => Promise<unknown>>;
}

const once = (work: (context: JobContext) => Promise<unknown>): Job => ({
  rounds: 1,
  prepare: async (context) => () => work(context),
});
const often = (work: (context: JobContext) => Promise<unknown>): Job => ({ ...once(work), rounds: ROUNDS });
const answer = (path: string): Job => ({ rounds: ROUNDS, prepare: (context) => endpoint(context, path) });

const JOBS: Readonly<Record<string, Job>> = {
  "list of one database": often((context) => listBackups(context, { ...PLACE, limit: 50 })),
  "/status as JSON": answer("/status?format=json"),
  "/status as text": answer("/status?format=text"),
  "/metrics": answer("/metrics"),
  page: answer("/"),
  "/status of the fleet as JSON": answer("/status?fleet=1&format=json"),
  "/metrics of the fleet": answer("/metrics?fleet=1"),
  "page of the fleet": answer("/?fleet=1"),
  "page of a database": answer(`/?database=${PLACE.server}/${PLACE.database}`),
  "records of a run of one backup": { ...once(record), rounds: RECORDED_RUNS },
  [`${DAEMONS} daemons write at once`]: {
    rounds: 1,
    prepare: async (context) => {
      // A file of SQLite has one daemon.
      if (context.config.catalog.type === "sqlite") return async () => {};
      const { catalog: place } = context.config;
      const opened = Array.from({ length: DAEMONS }, () => openCatalog(place, { clock: systemClock }));
      const catalogs = await Promise.all(opened);
      return () => writeAtOnce(catalogs);
    },
  },
  "cleanup: plan": once((context) => planRun(context, "bench", { confirm: undefined })),
  "cleanup: records without copies": once(removeEmptyRecords),
  "repair: plan": once(async (context) => {
    for await (const _ of planRepair(context));
  }),
  "verify: choice": once(async (context) => {
    for await (const _ of backupsToVerify(context));
  }),
  "copy of the catalog into another file": once(copied),
  "verify: queue": once(async ({ catalog, clock }) => {
    for await (const _ of catalog.verification.queue(clock.now().toISOString()));
  }),
};

async function copied({ config, clock, signal }: JobContext): Promise<void> {
  const to = { type: "sqlite", path: join(config.state_dir, `copy-${crypto.randomUUID()}.db`) } as const;
  await copyCatalog({
    ...{ from: config.catalog, to, clock, log: silentLog, signal, host: "bench" },
    onProgress: () => {},
  });
}

/** The endpoint of a daemon that has no work. */
async function endpoint(context: JobContext, path: string): Promise<() => Promise<void>> {
  const daemon = {
    ...{ pid: process.pid, started_at: new Date().toISOString(), uptime_ms: 1, last_reload: null },
    ...{ config_file: context.config.file, config_checksum: context.config.checksum, is_stopping: false },
  };
  const live = {
    context: () => context,
    daemon: () => daemon,
    running: () => [],
    nextRuns: () => new Map<string, Date>(),
    problems: async () => [],
    waits: () => [],
  };
  const { config, clock } = context;
  const server = await serveHttp({ live, config, log: silentLog, clock });
  return async () => {
    const got = await fetch(new URL(path, server.address), { headers: { accept: "text/html" } });
    await got.arrayBuffer();
    if (!got.ok) throw new Error(`${path}: status ${got.status}`);
  };
}

/** What a run that backs up one database writes: the run, two changes of the backup, the intents of its copies, and each copy. */
async function record({ catalog }: Pick<JobContext, "catalog">, database = PLACE.database): Promise<void> {
  const started_at = new Date().toISOString();
  const run = runRecord({ started_at });
  const backup = backupRecord({
    ...{ server: PLACE.server, database, run_id: run.id, started_at },
    manifest: "m".repeat(1_000),
  });
  await catalog.insertRun(run);
  await catalog.insertBackup(backup);
  await catalog.putCopies(STORAGES.map((storage) => copyRecord(backup, { storage })));
  for (const storage of STORAGES) await catalog.updateCopy(backup.id, storage, { state: "CONFIRMED" });
  await catalog.updateBackup(backup.id, { status: "VERIFIED", dump_bytes: 1_000_000 });
  await catalog.updateRun(run.id, { outcome: "OK", finished_at: new Date().toISOString() });
}

/** Each daemon, with a connection of its own, records ten runs, one after the other. */
async function writeAtOnce(catalogs: readonly Catalog[]): Promise<void> {
  const RUNS = 10;
  const times: number[] = [];
  const startedAtMs = performance.now();
  await Promise.all(
    catalogs.map(async (catalog, daemon) => {
      for (let run = 0; run < RUNS; run++) {
        const begunAtMs = performance.now();
        await record({ catalog }, `database-${daemon}`);
        times.push(performance.now() - begunAtMs);
      }
    }),
  );
  const seconds = (performance.now() - startedAtMs) / 1000;
  times.sort((a, b) => a - b);
  const [median, last] = [times[times.length >> 1] ?? 0, times.at(-1) ?? 0];
  const each = `each in ${Math.round(median)} ms (median; ${Math.round(last)} ms at most)`;
  note = `${catalogs.length * RUNS} runs, ${Math.round((catalogs.length * RUNS) / seconds)} a second, ${each}`;
  for (const catalog of catalogs) await catalog[Symbol.asyncDispose]();
}

/** What a job says of itself. */
let note: string | undefined;

interface Done {
  bestMs: number;
  medianMs: number;
  note?: string | undefined;
  /** User and system time of one round: on a busy machine it says more than the clock. */
  cpuMs: number;
  blockedMsMax: number;
  peakMib: number;
}

async function doIn(directory: string, name: string): Promise<void> {
  const job = JOBS[name];
  if (job === undefined) throw new Error(`no job ${name}`);
  await using context = await contextIn(directory);
  const work = await job.prepare(context);
  let blockedMsMax = 0;
  let turnAtMs = performance.now();
  const turn = () => {
    blockedMsMax = Math.max(blockedMsMax, performance.now() - turnAtMs);
    turnAtMs = performance.now();
  };
  const watch = setInterval(turn, 1);
  const times: number[] = [];
  const cpu = process.cpuUsage();
  for (let round = 0; round < job.rounds; round++) {
    const startedAtMs = performance.now();
    await work();
    times.push(performance.now() - startedAtMs);
  }
  const { user, system } = process.cpuUsage(cpu);
  turn();
  clearInterval(watch);
  const cpuMs = (user + system) / 1000 / times.length;
  if (times.length > ROUNDS) {
    const first = times.slice(0, ROUNDS).sort((a, b) => a - b);
    note = `the first ${ROUNDS}: ${Math.round(first[ROUNDS >> 1] ?? 0)} ms in the median`;
  }
  times.sort((a, b) => a - b);
  const [bestMs = 0] = times;
  const medianMs = times[times.length >> 1] ?? 0;
  const done: Done = { note, bestMs, medianMs, cpuMs, blockedMsMax, peakMib: highWaterMib(process.pid) };
  console.error(JSON.stringify(done));
  // The server of an answer would keep the process.
  process.exit(0);
}

/** The best of all processes, and the median of theirs. */
async function done(directory: string, job: string, runs: number): Promise<Done> {
  const all: Done[] = [];
  for (let run = 0; run < runs; run++) {
    const argv = [process.execPath, import.meta.path, "--in", directory, "--job", job];
    const { exitCode, stderr } = await measure({ argv });
    if (exitCode !== 0) throw new Error(stderr);
    all.push(JSON.parse(stderr.trim().split("\n").at(-1) ?? ""));
  }
  const middle = all.toSorted((a, b) => a.medianMs - b.medianMs)[all.length >> 1] as Done;
  return {
    ...middle,
    bestMs: Math.min(...all.map(({ bestMs }) => bestMs)),
    cpuMs: Math.min(...all.map(({ cpuMs }) => cpuMs)),
    peakMib: Math.max(...all.map(({ peakMib }) => peakMib)),
  };
}

const [load] = loadavg();
console.log(`${cpus().length} cores, load ${load?.toFixed(1)}`);

/** Makes the catalog and measures each job; `baseMib`: by job, what an empty catalog takes. */
async function measureAll(backups: number, names: readonly string[], baseMib: Map<string, number>) {
  const directory = await mkdtemp(join(tmpdir(), "pg321-scale-"));
  await using postgres =
    values.catalog === "postgres" ? await startPostgres({ settings: DURABLE }) : undefined;
  try {
    // A year and a half, whatever the number: so some backups are too old.
    const secondsApart = Math.max(1, Math.floor((550 * 86_400) / Math.max(1, backups)));
    const more = `[http]\nlisten = "127.0.0.1:0"\n`;
    const url = postgres && urlOf(postgres.address);
    const shape = { backups, databases: DATABASES, servers: SERVERS, days: 500, secondsApart, more };
    const made = { ...shape, ...(url !== undefined && { url }) };
    await makeCatalog(directory, made);
    if (values.fleet) await makeFleet(directory, made, PLACE.server);
    const heading = `${backups} backups of ${DATABASES} databases, ${await sizeMib(directory, postgres)} MiB of catalog`;
    console.log(`${heading}:`);
    if (backups > 0) await writePlans(directory, `${heading} (${values.catalog})`);
    for (const name of names) {
      const runs = backups === 0 ? 1 : Number(values.runs);
      const {
        bestMs,
        medianMs,
        cpuMs,
        blockedMsMax,
        peakMib,
        note: said,
      } = await done(directory, name, runs);
      if (backups === 0) baseMib.set(name, peakMib);
      const over = Math.round(peakMib - (baseMib.get(name) ?? 0));
      const [best, time, cpu] = [bestMs, medianMs, cpuMs].map((ms) =>
        ms < 10 ? ms.toFixed(1) : Math.round(ms),
      );
      console.log(
        `  ${name}: ${best} ms at best, ${time} ms in the median (${cpu} ms of CPU), blocked for ${Math.round(blockedMsMax)} ms at most, ${Math.round(peakMib)} MiB at most (${over} over the base)${said ? `; ${said}` : ""}`,
      );
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function sizeMib(directory: string, postgres: LabPostgres | undefined): Promise<number> {
  if (!postgres) return Math.round((await stat(join(directory, "state/catalog.db"))).size / 2 ** 20);
  await using admin = disposable(connectTo(postgres.address, "postgres"));
  const [row] = await admin.sql<{ bytes: string }[]>`SELECT pg_database_size('postgres') AS bytes`;
  return Math.round(Number(row?.bytes) / 2 ** 20);
}

/** Durable like a production server, unlike the servers of the tests. */
const DURABLE = [
  ...["fsync = on", "full_page_writes = on", "synchronous_commit = on", "wal_level = replica"],
  ...["shared_buffers = '512MB'", "max_connections = 120", "autovacuum = on"],
];

function urlOf({ port, user, password }: LabPostgres["address"]): string {
  return `postgres://${user}:${password}@127.0.0.1:${port}/postgres?sslmode=disable`;
}

/** With `--plans`: writes the plan of each statement that the answers and jobs send, as the server explains it. */
async function writePlans(directory: string, heading: string): Promise<void> {
  if (values.plans === undefined) return;
  await using context = await contextIn(directory);
  const shown = Object.entries(await plansOf(context, { place: PLACE })).flatMap(([call, plans]) =>
    plans.map(({ sql, plan }) => `-- ${call}\n${sql};\n${plan.map((line) => `--   ${line}`).join("\n")}\n`),
  );
  await writeFile(values.plans, `-- ${heading}\n\n${shown.join("\n")}`);
}

if (values.in !== undefined) await doIn(values.in, values.job);
else {
  const names = Object.keys(JOBS).filter((name) => values.only?.some((part) => name.includes(part)) ?? true);
  const baseMib = new Map<string, number>();
  for (const backups of [0, Number(values.backups)]) await measureAll(backups, names, baseMib);
}
