/**
 * `npm run bench:retention [-- --backups N]`: plans the retention of many records and prints how long the
 * slowest of a few plans took and how much memory the process needed. Fails when a plan takes 2 s or more.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { planRetention, type RetainedBackup, type RetentionInput } from "../src/retention/plan.ts";

const { values } = parseArgs({ options: { backups: { type: "string", default: "100000" } } });
const PLAN_MS_MAX = 2_000;
const RUNS = 5;
const NOW = new Date("2026-11-23T05:00:00Z");
const STORAGES = ["b2", "local", "r2"];
const keep = { days: 30, last: 3, daily: 14, weekly: 8, monthly: 24, yearly: 10 };

/** Each at a minute of its own: the calendar has no two in the same quarter of an hour to remember. */
function records(databases: number): RetainedBackup[] {
  const count = Number(values.backups);
  return Array.from({ length: count }, (_, n) => ({
    id: crypto.randomUUID(),
    server: "main",
    database: `database-${n % databases}`,
    startedAt: new Date(NOW.getTime() - n * 17 * 60_000),
    isGood: n % 50 !== 0,
    isHeld: n % 1000 === 0,
    heldUntil: undefined,
    shrinkSuspect: false,
    copies: STORAGES.map((storage) => ({ storage, isConfirmed: n % 70 !== 0, bytes: 1_000_000 })),
  }));
}

/** The largest resident size so far, and starts to count anew. */
function peakMib(): number {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "latin1"));
  return Math.round(Number(line?.[1] ?? 0) / 1024);
}

let isSlow = false;
for (const databases of [1, 100, 10_000]) {
  const input: RetentionInput = {
    now: NOW,
    timezone: "Europe/Berlin",
    storages: STORAGES.map((name) => ({ name, offSite: name !== "local", expire: true, keep })),
    guard: { staleAfterMs: () => 3 * 86_400_000, keep: 3 },
    backups: records(databases),
  };
  const before = peakMib();
  const durations: number[] = [];
  let expiring = 0;
  for (let run = 0; run < RUNS; run += 1) {
    const startedAt = performance.now();
    const plan = planRetention({ ...input, confirmedPlanHash: "none" });
    durations.push(performance.now() - startedAt);
    expiring = plan.decisions.filter(({ action, isSuspended }) => action === "expire" || isSuspended).length;
  }
  const slowest = Math.max(...durations);
  isSlow ||= slowest >= PLAN_MS_MAX;
  console.log(
    `${values.backups} backups of ${databases} databases in ${STORAGES.length} storages: slowest plan of ${RUNS} ` +
      `${Math.round(slowest)} ms (limit ${PLAN_MS_MAX}), ${expiring} copies to go, ` +
      `memory ${before} MiB with the records, ${peakMib()} MiB at most`,
  );
}
process.exitCode = isSlow ? 1 : 0;
