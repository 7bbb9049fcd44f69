/**
 * `npm run bench:soak [-- --scrapes N --backups N --rest SECONDS --ratio R]`: whether a long life makes the daemon grow.
 * Measures its resident memory at rest after a first use of everything, then during many scrapes and many scheduled
 * backups to a directory and an S3 server, then at rest again. Ends with exit 1 if the memory at rest has grown by more than
 * the ratio. Writes bench/results/DATE-soak.json.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, EXECUTABLE } from "../scripts/build.ts";
import { residentMib } from "./measure.ts";
import { smallInstallation } from "./small-installation.ts";

const { values } = parseArgs({
  options: {
    scrapes: { type: "string", default: "10000" },
    backups: { type: "string", default: "200" },
    /** Longer than the daemon takes to give memory back. */
    rest: { type: "string", default: "45" },
    ratio: { type: "string", default: "1.15" },
  },
});
const [SCRAPES, BACKUPS, REST_S, RATIO_MAX] = [values.scrapes, values.backups, values.rest, values.ratio].map(
  Number,
) as [number, number, number, number];
/** The first use loads code and compiles it, which stays: that is no growth. */
const FIRST_SCRAPES = 300;
const FIRST_BACKUPS = 5;
/** The number of lines for each part. */
const POINTS = 10;
const SAMPLE_MS = 100;
const PATHS = ["/metrics", "/status", "/"];
const OFF = { backup: "off", cleanup: "off", verify: "off", repair: "off" };

await build(EXECUTABLE);
await using small = await smallInstallation();
const { installation } = small;
const socket = join(installation.directory, "http.sock");
await schedule(OFF);
const daemon = Bun.spawn([EXECUTABLE, "run", "--log-level", "error"], {
  env: { PATH: process.env["PATH"] ?? "", HOME: "/", PG321_CONFIG: installation.configFile },
  stdio: ["ignore", "ignore", "inherit"],
});
const startedAtMs = performance.now();
const points: { part: string; done: number; seconds: number; rss_mib: number }[] = [];
let peakMib = 0;
let backups = 0;
const rest: Record<string, number> = {};
try {
  while (!(await ask("/ready").catch(() => undefined))?.ok) await Bun.sleep(SAMPLE_MS);
  rest["after the start"] = await atRest("after the start");
  await scrape("first scrapes", FIRST_SCRAPES);
  await backUp("first backups", FIRST_BACKUPS);
  rest["after the first use"] = await atRest("after the first use");
  await scrape("scrapes", SCRAPES);
  rest["after the scrapes"] = await atRest("after the scrapes");
  await backUp("backups", BACKUPS);
  rest["after the backups"] = await atRest("after the backups");
} finally {
  daemon.kill("SIGTERM");
  await daemon.exited;
}

const before = rest["after the first use"] ?? Number.NaN;
const ratio = (rest["after the backups"] ?? Number.NaN) / before;
const verdict = ratio <= RATIO_MAX ? "ok" : "grown";
console.log(
  `${verdict}: at rest ${ratio.toFixed(2)} times the memory of before (limit ${RATIO_MAX}), at most ${(peakMib / before).toFixed(2)} times during the work`,
);
const folder = join(import.meta.dir, "results");
await mkdir(folder, { recursive: true });
const file = join(folder, `${new Date().toISOString().slice(0, 19).replaceAll(":", "")}-soak.json`);
await writeFile(file, JSON.stringify({ verdict, ratio, rest_mib: rest, peak_mib: peakMib, points }, null, 2));
console.log("wrote", file);
process.exitCode = verdict === "ok" ? 0 : 1;

async function schedule(jobs: Record<string, string>): Promise<void> {
  const lines = Object.entries(jobs).map(([job, pattern]) => `${job} = "${pattern}"`);
  await installation.configure({
    more: ["[schedule]", ...lines, "[http]", `listen = "unix:${socket}"`].join("\n"),
  });
}

function ask(path: string): Promise<Response> {
  return fetch(`http://localhost${path}`, { unix: socket });
}

/** A scrape, and now and then a request for the status or the page. */
async function scrape(part: string, count: number): Promise<void> {
  for (let done = 1; done <= count; done++) {
    const path = done % 20 === 0 ? (PATHS[(done / 20) % PATHS.length] as string) : "/metrics";
    const answer = await ask(path);
    await answer.arrayBuffer();
    if (!answer.ok) throw new Error(`${path}: status ${answer.status}`);
    note(part, done, count);
  }
}

/** Scheduled backups, one each second at most. */
async function backUp(part: string, count: number): Promise<void> {
  const until = backups + count;
  const from = backups;
  await schedule({ ...OFF, backup: "* * * * * *" });
  daemon.kill("SIGHUP");
  while (backups < until) {
    const metrics = await (await ask("/metrics")).text();
    const now = Number(
      /^pg321_runs_total\{pg321_job="backup",outcome="OK"\} (\d+)$/m.exec(metrics)?.[1] ?? 0,
    );
    while (backups < Math.min(now, until)) note(part, ++backups - from, count);
    await Bun.sleep(SAMPLE_MS);
  }
  await schedule(OFF);
  daemon.kill("SIGHUP");
}

function note(part: string, done: number, count: number): void {
  const rssMib = residentMib(daemon.pid);
  peakMib = Math.max(peakMib, rssMib);
  if (done % Math.ceil(count / POINTS) === 0 || done === count) print(part, done, rssMib);
}

async function atRest(part: string): Promise<number> {
  await Bun.sleep(REST_S * 1000);
  const rssMib = residentMib(daemon.pid);
  print(`at rest ${part}`, 0, rssMib);
  return rssMib;
}

function print(part: string, done: number, rssMib: number): void {
  const seconds = (performance.now() - startedAtMs) / 1000;
  points.push({ part, done, seconds, rss_mib: rssMib });
  const count = done === 0 ? "" : String(done);
  console.log(`${seconds.toFixed(0).padStart(5)} s  ${rssMib.toFixed(0).padStart(4)} MiB  ${part} ${count}`);
}
