/**
 * `npm run bench:cleanup [-- --backups N]`: measures cleanup with a large, real SQLite catalog: how long it takes to
 * read and plan, how much memory it needs in addition to a process without records, and how long the event loop is
 * blocked. Fails if a plan takes 2 s or more. `bench/retention.ts` measures the plan alone.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { planRun } from "../src/jobs/cleanup/plan.ts";
import { contextIn, makeCatalog, STORAGES } from "./large-catalog.ts";
import { highWaterMib, type Measured, measure } from "./measure.ts";

const { values } = parseArgs({
  options: {
    backups: { type: "string", default: "100000" },
    /** Plan with the config in this directory, in a process that has done nothing else. */
    in: { type: "string" },
  },
});
const PLAN_MS_MAX = 2_000;
/** 100,000 backups span 1,181 days: some are too old. */
const DAYS = 1_150;

/** The measurements of one process. */
interface Planned {
  planMs: number;
  /** Its user and system time. */
  cpuMs: number;
  expiring: number;
  held: number;
  blockedMsMax: number;
  peakMib: number;
}

async function planIn(directory: string): Promise<void> {
  await using context = await contextIn(directory);
  let blockedMsMax = 0;
  let turnAtMs = performance.now();
  const turn = () => {
    blockedMsMax = Math.max(blockedMsMax, performance.now() - turnAtMs);
    turnAtMs = performance.now();
  };
  const watch = setInterval(turn, 1);
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const { plan, going } = await planRun(context, "bench", { confirm: undefined });
  const planMs = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpu);
  turn();
  clearInterval(watch);
  let [expiring, held] = [0, 0];
  for (const counts of plan.outline.counts.values()) {
    expiring += counts.expiring;
    held += counts.guarded + counts.suspended;
  }
  // Keeps the expiring copies, as cleanup does until it has deleted them.
  let copies = 0;
  for await (const backup of going.backups()) copies += backup.copies.length;
  if (copies !== expiring) throw new Error(`${copies} copies to remove, ${expiring} counted`);
  const cpuMs = (user + system) / 1000;
  const planned: Planned = {
    planMs,
    cpuMs,
    expiring,
    held,
    blockedMsMax,
    peakMib: highWaterMib(process.pid),
  };
  console.error(JSON.stringify(planned));
}

/** The fastest of three runs, each in its own process, with the largest memory of the three. */
async function planned(directory: string): Promise<Planned> {
  const runs: Planned[] = [];
  for (let run = 0; run < 3; run++) {
    const { exitCode, stderr } = await measure({
      argv: [process.execPath, import.meta.path, "--in", directory],
    });
    if (exitCode !== 0) throw new Error(stderr);
    runs.push(JSON.parse(stderr));
  }
  const [fastest] = runs.toSorted((a, b) => a.planMs - b.planMs) as [Planned];
  return { ...fastest, peakMib: Math.max(...runs.map(({ peakMib }) => peakMib)) };
}

/** Measures the whole command, which prints every decision. */
async function dryRun(directory: string): Promise<Measured> {
  const main = join(import.meta.dir, "../src/main.ts");
  const config = join(directory, "config.toml");
  const run = await measure({
    argv: [process.execPath, main, "cleanup", "--dry-run", "--json", "--config", config],
  });
  if (run.exitCode !== 0) throw new Error(run.stderr);
  return run;
}

async function compare(backups: number): Promise<boolean> {
  let isFast = true;
  let base: { planMib: number; dryMib: number } | undefined;
  for (const [what, shape] of [
    ["no records", { backups: 0, databases: 1, days: DAYS }],
    ["one database", { backups, databases: 1, days: DAYS }],
    ["1,000 databases", { backups, databases: 1_000, days: DAYS }],
    ["10,000 databases", { backups, databases: 10_000, days: DAYS }],
    ["1,000 databases, nearly all too old", { backups, databases: 1_000, days: 1 }],
  ] as const) {
    const directory = await mkdtemp(join(tmpdir(), "pg321-bench-"));
    try {
      await makeCatalog(directory, shape);
      const { planMs, cpuMs, expiring, held, blockedMsMax, peakMib } = await planned(directory);
      const { wallMs, peakMib: dryMib } = await dryRun(directory);
      base ??= { planMib: peakMib, dryMib };
      isFast &&= planMs < PLAN_MS_MAX;
      console.log(
        [
          `${what}: ${shape.backups * STORAGES.length} copies planned in ${Math.round(planMs)} ms (limit ${PLAN_MS_MAX}; ${Math.round(cpuMs)} ms of CPU),`,
          `${expiring} go, ${held} are held;`,
          `${Math.round(peakMib)} MiB at most (${Math.round(peakMib - base.planMib)} over the base),`,
          `blocked for ${Math.round(blockedMsMax)} ms at most;`,
          `--dry-run --json took ${Math.round(wallMs)} ms and ${Math.round(dryMib)} MiB`,
          `(${Math.round(dryMib - base.dryMib)} over the base)`,
        ].join(" "),
      );
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
  return isFast;
}

if (values.in !== undefined) await planIn(values.in);
else process.exitCode = (await compare(Number(values.backups))) ? 0 : 1;
