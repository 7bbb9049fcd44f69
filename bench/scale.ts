/**
 * `npm run bench:scale [-- --backups N --only JOB]`: measures what a catalog of N backups with three copies each, of
 * 2,000 databases, costs: the answers of the endpoint, `list` of one database, the plans of the jobs and the record of a
 * backup. Each is measured in a process that does nothing else: time, memory in addition to a catalog without records,
 * and how long the event loop is blocked. The figures are in docs/scale.md.
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { silentLog } from "../src/base/log.ts";
import { copyCatalog } from "../src/catalog/copy/copy.ts";
import { serveHttp } from "../src/http/server.ts";
import { planRun } from "../src/jobs/cleanup/plan.ts";
import { removeEmptyRecords } from "../src/jobs/cleanup/remove-records.ts";
import type { JobContext } from "../src/jobs/context.ts";
import { backupsToVerify } from "../src/jobs/verify/choose.ts";
import { planRepair } from "../src/jobs/verify/repair-plan.ts";
import { listBackups } from "../src/status/list-backups.ts";
import { backupRecord, copyRecord } from "../test/suites/catalog/records.ts";
import { contextIn, makeCatalog, STORAGES } from "./large-catalog.ts";
import { highWaterMib, measure } from "./measure.ts";

const { values } = parseArgs({
  options: {
    backups: { type: "string", default: "100000" },
    only: { type: "string" },
    /** Measure in this directory, in a process that has done nothing else. */
    in: { type: "string" },
    job: { type: "string", default: "" },
  },
});
const DATABASES = 2_000;
const PLACE = { server: "main", database: "database-7" };
/** Times that a short job is repeated: the median counts. */
const ROUNDS = 9;

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
  "/status": answer("/status?format=json"),
  "/metrics": answer("/metrics"),
  page: answer("/"),
  "page of a database": answer(`/?database=${PLACE.server}/${PLACE.database}`),
  "record of a backup": often(record),
  "cleanup: plan": once((context) => planRun(context, "bench", { confirm: undefined })),
  "cleanup: records without copies": once(removeEmptyRecords),
  "repair: plan": once(planRepair),
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

/** What a backup of one database writes, without its run: two changes of the backup, two of each copy. */
async function record({ catalog }: JobContext): Promise<void> {
  const backup = backupRecord({
    ...PLACE,
    started_at: new Date().toISOString(),
    manifest: "m".repeat(1_000),
  });
  await catalog.insertBackup(backup);
  for (const storage of STORAGES) await catalog.putCopy(copyRecord(backup, { storage }));
  for (const storage of STORAGES) await catalog.updateCopy(backup.id, storage, { state: "CONFIRMED" });
  await catalog.updateBackup(backup.id, { status: "VERIFIED", dump_bytes: 1_000_000 });
}

interface Done {
  medianMs: number;
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
  const medianMs = times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0;
  const done: Done = { medianMs, cpuMs, blockedMsMax, peakMib: highWaterMib(process.pid) };
  console.error(JSON.stringify(done));
  // The server of an answer would keep the process.
  process.exit(0);
}

async function done(directory: string, job: string): Promise<Done> {
  const argv = [process.execPath, import.meta.path, "--in", directory, "--job", job];
  const { exitCode, stderr } = await measure({ argv });
  if (exitCode !== 0) throw new Error(stderr);
  return JSON.parse(stderr.trim().split("\n").at(-1) ?? "");
}

async function compare(most: number): Promise<void> {
  const baseMib: Record<string, number> = {};
  const names = Object.keys(JOBS).filter((name) => values.only === undefined || name.includes(values.only));
  for (const backups of [0, most]) {
    const directory = await mkdtemp(join(tmpdir(), "pg321-scale-"));
    try {
      // A year and a half, whatever the number: so some backups are too old.
      const secondsApart = Math.max(1, Math.floor((550 * 86_400) / Math.max(1, backups)));
      const more = `[http]\nlisten = "127.0.0.1:0"\n`;
      await makeCatalog(directory, { backups, databases: DATABASES, days: 500, secondsApart, more });
      const { size } = await stat(join(directory, "state/catalog.db"));
      console.log(
        `${backups} backups of ${DATABASES} databases, ${Math.round(size / 2 ** 20)} MiB of catalog:`,
      );
      for (const name of names) {
        const { medianMs, cpuMs, blockedMsMax, peakMib } = await done(directory, name);
        baseMib[name] ??= peakMib;
        const over = Math.round(peakMib - (baseMib[name] ?? 0));
        const [time, cpu] = [medianMs, cpuMs].map((ms) => (ms < 10 ? ms.toFixed(1) : Math.round(ms)));
        console.log(
          `  ${name}: ${time} ms (${cpu} ms of CPU), blocked for ${Math.round(blockedMsMax)} ms at most, ${Math.round(peakMib)} MiB at most (${over} over the base)`,
        );
      }
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
}

if (values.in !== undefined) await doIn(values.in, values.job);
else await compare(Number(values.backups));
