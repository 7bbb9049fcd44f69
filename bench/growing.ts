/**
 * `npm run bench:growing [-- --backups N]`: measures how a large catalog affects repair, verification and the check for
 * shrunk dumps before they touch any copy: time, memory in addition to a process without records, and how long the
 * event loop is blocked. Fails if that is 100 ms or more.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { alertIfShrunk } from "../src/alerts/shrink.ts";
import type { JobContext } from "../src/jobs/context.ts";
import { backupsToVerify } from "../src/jobs/verify/choose.ts";
import { runRepair } from "../src/jobs/verify/repair.ts";
import { contextIn, makeCatalog } from "./large-catalog.ts";
import { highWaterMib, measure } from "./measure.ts";

const { values } = parseArgs({
  options: {
    backups: { type: "string", default: "100000" },
    /** Do the job with the config in this directory, in a process that has done nothing else. */
    in: { type: "string" },
    job: { type: "string", default: "" },
  },
});
const BLOCKED_MS_MAX = 100;

const JOBS: Readonly<Record<string, (context: JobContext) => Promise<unknown>>> = {
  repair: runRepair,
  /** Only lists the backups: each is read separately later, while its copies come from their storages. */
  async verify(context) {
    for await (const _ of backupsToVerify(context));
  },
  async shrink(context) {
    const [newest] = await context.catalog.backups({ limit: 1 });
    if (newest) await alertIfShrunk(context, { ...newest, dump_bytes: 1 });
  },
};

interface Done {
  tookMs: number;
  blockedMsMax: number;
  peakMib: number;
}

async function doIn(directory: string, job: string): Promise<void> {
  await using context = await contextIn(directory);
  let blockedMsMax = 0;
  let turnAtMs = performance.now();
  const turn = () => {
    blockedMsMax = Math.max(blockedMsMax, performance.now() - turnAtMs);
    turnAtMs = performance.now();
  };
  const watch = setInterval(turn, 1);
  const startedAtMs = performance.now();
  await JOBS[job]?.(context);
  const tookMs = performance.now() - startedAtMs;
  turn();
  clearInterval(watch);
  const done: Done = { tookMs, blockedMsMax, peakMib: highWaterMib(process.pid) };
  console.error(JSON.stringify(done));
}

async function done(directory: string, job: string): Promise<Done> {
  const argv = [process.execPath, import.meta.path, "--in", directory, "--job", job];
  const { exitCode, stderr } = await measure({ argv });
  if (exitCode !== 0) throw new Error(stderr);
  return JSON.parse(stderr);
}

async function compare(backups: number): Promise<boolean> {
  let isAlive = true;
  const baseMib: Record<string, number> = {};
  for (const [what, count] of [
    ["no records", 0],
    [`${backups} backups of one database`, backups],
  ] as const) {
    const directory = await mkdtemp(join(tmpdir(), "pg321-bench-"));
    try {
      await makeCatalog(directory, { backups: count, databases: 1, days: 10_000 });
      for (const job of Object.keys(JOBS)) {
        const { tookMs, blockedMsMax, peakMib } = await done(directory, job);
        baseMib[job] ??= peakMib;
        isAlive &&= blockedMsMax < BLOCKED_MS_MAX;
        const overMib = Math.round(peakMib - (baseMib[job] ?? 0));
        console.log(
          `${what}: ${job} took ${Math.round(tookMs)} ms, blocked for ${Math.round(blockedMsMax)} ms at most (limit ${BLOCKED_MS_MAX}), ${Math.round(peakMib)} MiB at most (${overMib} over the base)`,
        );
      }
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
  return isAlive;
}

if (values.in !== undefined) await doIn(values.in, values.job);
else process.exitCode = (await compare(Number(values.backups))) ? 0 : 1;
