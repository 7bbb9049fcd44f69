/**
 * `npm run bench:retention [-- --backups N]`: plans the retention of many records, each time in its own process, and
 * prints how long the plan took and how much memory the process needed. Fails if a plan takes 2 s or more.
 */
import { parseArgs } from "node:util";
import { type RetainedBackup, RetentionSurvey } from "../src/retention/plan.ts";
import { measure } from "./measure.ts";

const { values } = parseArgs({
  options: {
    backups: { type: "string", default: "100000" },
    /** Plan for this many databases, without starting processes. */
    databases: { type: "string" },
  },
});
const PLAN_MS_MAX = 2_000;
const NOW = new Date("2026-11-23T05:00:00Z");
const STORAGES = ["b2", "local", "r2"];
const keep = { days: 30, last: 3, daily: 14, weekly: 8, monthly: 24, yearly: 10 };

interface Planned {
  planMs: number;
  /** Copies that expire, including those that a stop keeps. */
  expiring: number;
}

/** Newest first, as the planner expects. */
function* records(database: number, backups: number, databases: number): Generator<RetainedBackup> {
  for (let n = database; n < backups; n += databases) {
    yield {
      id: crypto.randomUUID(),
      server: "main",
      database: `database-${database}`,
      startedAt: new Date(NOW.getTime() - n * 17 * 60_000),
      isGood: n % 50 !== 0,
      isHeld: n % 1000 === 0,
      heldUntil: undefined,
      shrinkSuspect: n % 700 === 0,
      copies: STORAGES.map((storage) => ({ storage, isConfirmed: n % 70 !== 0, bytes: 1_000_000 })),
    };
  }
}

function plan(backups: number, databases: number): Planned {
  const startedAt = performance.now();
  const survey = new RetentionSurvey({
    now: NOW,
    timezone: "Europe/Berlin",
    storages: STORAGES.map((name) => ({ name, offSite: name !== "local", expire: true, keep })),
    guard: { staleAfterMs: () => 3 * 86_400_000, keep: 3 },
  });
  for (let database = 0; database < databases; database++)
    for (const backup of records(database, backups, databases)) survey.add(backup);
  const { counts } = survey.end();
  const expiring = [...counts.values()].reduce((sum, one) => sum + one.expiring + one.suspended, 0);
  return { planMs: performance.now() - startedAt, expiring };
}

async function compare(backups: number): Promise<boolean> {
  let isFast = true;
  // The first run measures the process without any record.
  for (const [count, databases] of [
    [0, 1],
    [backups / 2, 100],
    [backups, 1],
    [backups, 100],
    [backups, 10_000],
  ] as const) {
    const options = ["--backups", String(count), "--databases", String(databases)];
    const { exitCode, peakMib, stderr } = await measure({
      argv: [process.execPath, import.meta.path, ...options],
    });
    if (exitCode !== 0) throw new Error(stderr);
    const { planMs, expiring } = JSON.parse(stderr) as Planned;
    isFast &&= planMs < PLAN_MS_MAX;
    console.log(
      [
        `${count} backups of ${databases} databases in ${STORAGES.length} storages:`,
        `planned in ${Math.round(planMs)} ms (limit ${PLAN_MS_MAX}),`,
        `${expiring} of ${count * STORAGES.length} copies to go,`,
        `${Math.round(peakMib)} MiB at most`,
      ].join(" "),
    );
  }
  return isFast;
}

const backups = Number(values.backups);
// `measure` returns only the stderr of the measured process.
if (values.databases !== undefined) console.error(JSON.stringify(plan(backups, Number(values.databases))));
else process.exitCode = (await compare(backups)) ? 0 : 1;
