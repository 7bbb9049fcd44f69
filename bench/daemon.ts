/**
 * `npm run bench:daemon [-- --backups N] [--scrapes N] [--idle SECONDS]`: measures the daemon from its start to READY,
 * when idle, and during many scrapes and small scheduled backups to a directory and an S3 server, for which it prints
 * the resident memory over time. Writes bench/results/DATE-daemon.json.
 */
import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Subprocess } from "bun";
import { build, EXECUTABLE } from "../scripts/build.ts";
import { freePort } from "../test/lab/servers/free-port.ts";
import { smallInstallation } from "./small-installation.ts";

const { values } = parseArgs({
  options: {
    backups: { type: "string", default: "200" },
    scrapes: { type: "string", default: "10000" },
    idle: { type: "string", default: "60" },
    starts: { type: "string", default: "15" },
  },
});
const [BACKUPS, SCRAPES, IDLE_S, STARTS] = [values.backups, values.scrapes, values.idle, values.starts].map(
  Number,
) as [number, number, number, number];
/** The number of points in each series. */
const POINTS = 10;
/** After this time the work that follows READY at once (checking servers and storages) has ended. */
const SETTLE_MS = 10_000;
const TICKS_A_SECOND = 100;
const MIB = 2 ** 20;

const REST = { backup: "off", cleanup: "off", verify: "off", repair: "off" };

await build(EXECUTABLE);
const port = await freePort();
await using small = await smallInstallation(tables(REST));
const { installation } = small;

const starts: number[] = [];
for (let count = 0; count < STARTS; count++) {
  await using daemon = await start();
  starts.push(daemon.readyMs);
}
print("start to ready, ms", starts.toSorted((a, b) => a - b).map(Math.round));

const series: Record<string, number[]> = {};
const figures: Record<string, number> = { ready_ms: median(starts) };
{
  await using daemon = await start();
  await Bun.sleep(SETTLE_MS);
  Object.assign(figures, rest(await atRest(daemon), "idle"));
  await soak(daemon, "scrapes", SCRAPES, async () => void (await scrape()));
  await installation.configure({ more: tables({ ...REST, backup: "* * * * * *" }) });
  daemon.child.kill("SIGHUP");
  await soak(daemon, "backups", BACKUPS, (done) => backupsReach(done));
  await installation.configure({ more: tables(REST) });
  daemon.child.kill("SIGHUP");
  await Bun.sleep(SETTLE_MS);
  Object.assign(figures, rest(await atRest(daemon), "idle_after"));
}
for (const [name, figure] of Object.entries(figures)) print(name, figure);
const folder = join(import.meta.dir, "results");
await mkdir(folder, { recursive: true });
const path = join(folder, `${new Date().toISOString().slice(0, 19).replaceAll(":", "")}-daemon.json`);
await writeFile(path, JSON.stringify({ figures, starts, rss_mib: series }, null, 2));
print("wrote", path);

interface Daemon extends AsyncDisposable {
  child: Subprocess;
  readyMs: number;
}

async function start(): Promise<Daemon> {
  const startedAtMs = performance.now();
  const child = Bun.spawn([EXECUTABLE, "run", "--log-level", "error"], {
    env: { PATH: process.env["PATH"] ?? "", HOME: "/", PG321_CONFIG: installation.configFile },
    stdio: ["ignore", "ignore", "inherit"],
  });
  // /ready becomes 200 when systemd gets READY.
  while (!(await isReady())) {
    if (child.exitCode !== null) throw new Error(`the daemon ended with ${child.exitCode}`);
    await Bun.sleep(1);
  }
  return {
    child,
    readyMs: performance.now() - startedAtMs,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

function isReady(): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/ready`).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function scrape(): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
}

async function backupsReach(count: number): Promise<void> {
  while (backupsIn(await scrape()) < count) await Bun.sleep(200);
}

function backupsIn(metrics: string): number {
  return Number(/^pg321_runs_total\{pg321_job="backup",outcome="OK"\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
}

/** Does something `count` times and samples the resident size. */
async function soak(
  { child }: Daemon,
  name: string,
  count: number,
  step: (done: number) => Promise<void>,
): Promise<void> {
  const points = [rssMib(child.pid)];
  for (let done = 1; done <= count; done++) {
    await step(done);
    if (done % Math.ceil(count / POINTS) === 0 || done === count) points.push(rssMib(child.pid));
  }
  series[name] = points;
  print(`resident MiB over ${count} ${name}`, points.map(Math.round));
}

async function atRest({ child }: Daemon): Promise<{ rssMib: number; cpuPercent: number }> {
  const before = cpuSeconds(child.pid);
  const startedAtMs = performance.now();
  await Bun.sleep(IDLE_S * 1000);
  const seconds = (performance.now() - startedAtMs) / 1000;
  return { rssMib: rssMib(child.pid), cpuPercent: ((cpuSeconds(child.pid) - before) / seconds) * 100 };
}

function rest({ rssMib, cpuPercent }: { rssMib: number; cpuPercent: number }, name: string) {
  return { [`${name}_rss_mib`]: rssMib, [`${name}_cpu_percent`]: cpuPercent };
}

function rssMib(pid: number): number {
  const [, pages = "0"] = readFileSync(`/proc/${pid}/statm`, "latin1").split(" ");
  return (Number(pages) * 4096) / MIB;
}

function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

function tables(schedule: Record<string, string>): string {
  const lines = Object.entries(schedule).map(([job, pattern]) => `${job} = "${pattern}"`);
  return ["[schedule]", ...lines, "[http]", `listen = "127.0.0.1:${port}"`].join("\n");
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

function print(name: string, value: unknown): void {
  const text =
    typeof value === "number" ? value.toFixed(2) : Array.isArray(value) ? value.join(" ") : String(value);
  console.log(`${name.padEnd(36)} ${text}`);
}
