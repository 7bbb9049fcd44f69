/**
 * `npm run bench:http [-- --mib N] [--requests N] [--clients N] [--databases N]`: measures how fast the daemon's endpoint
 * answers: when idle, while a backup runs at full speed (not with `--mib 0`), and beside slow clients (`slow-clients.ts`),
 * whose answers are as large as those of this many databases. Writes bench/results/DATE-http.json.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, EXECUTABLE } from "../scripts/build.ts";
import type { StatusReport } from "../src/status/report.ts";
import { fillBulk } from "../test/lab/data/bulk-database.ts";
import { Installation, localStorage } from "../test/lab/installation.ts";
import { connectTo, startPostgres } from "../test/lab/servers/postgres.ts";
import { slowClients } from "./slow-clients.ts";

const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "1024" },
    requests: { type: "string", default: "300" },
    clients: { type: "string", default: "300" },
    databases: { type: "string", default: "2000" },
  },
});
const [DUMP_MIB, REQUESTS, CLIENTS, DATABASES] = [
  values.mib,
  values.requests,
  values.clients,
  values.databases,
].map(Number) as [number, number, number, number];
/** A server that does nothing else, for comparison: the delay of the machine itself under the same load. */
const EMPTY = "(empty)";
const PATHS = ["/health", EMPTY, "/status", "/metrics", "/"];
/** The pause between two requests; without it the daemon would do nothing but answer. */
const PAUSE_MS = 10;

await build(EXECUTABLE);
await using postgres = await startPostgres();
const admin = connectTo(postgres.address, "postgres");
await admin`create database bulk`;
await admin.end();
const sql = connectTo(postgres.address, "bulk");
await fillBulk(sql, DUMP_MIB);
await sql.end();
await using installation = await Installation.make({
  postgres: postgres.address,
  databases: ["bulk"],
  storages: (directory) => [localStorage("disk", directory), localStorage("usb", directory)],
});
const socket = join(installation.directory, "http.sock");
const emptySocket = join(installation.directory, "empty.sock");
const empty = Bun.spawn(
  [process.execPath, "-e", `Bun.serve({ unix: "${emptySocket}", fetch: () => new Response("ok") })`],
  { stdio: ["ignore", "ignore", "inherit"] },
);
const results: Record<string, Record<string, Figures>> = {};
await withDaemon("off", async () => {
  results["at rest"] = await latencies(async () => true, REQUESTS);
});
if (DUMP_MIB > 0)
  await withDaemon(inSeconds(5), async () => {
    while (!(await isDumping())) await Bun.sleep(PAUSE_MS);
    results["during a backup"] = await latencies(isDumping, REQUESTS);
  });

empty.kill();
await empty.exited;

const slow = await slowClients(CLIENTS, DATABASES);

for (const [when, figures] of Object.entries(results))
  for (const [path, { answers, median_ms, p99_ms, max_ms }] of Object.entries(figures))
    console.log(
      `${when.padEnd(16)} ${path.padEnd(9)} ${answers} answers, median ${median_ms} ms, p99 ${p99_ms} ms, max ${max_ms} ms`,
    );
const folder = join(import.meta.dir, "results");
await mkdir(folder, { recursive: true });
const file = join(folder, `${new Date().toISOString().slice(0, 19).replaceAll(":", "")}-http.json`);
await writeFile(
  file,
  JSON.stringify({ dump_mib: DUMP_MIB, results, clients: CLIENTS, databases: DATABASES, slow }, null, 2),
);
console.log("wrote", file);

/** A pattern for a single run some seconds from now; further runs during the measurement would be logged as skipped. */
function inSeconds(delayS: number): string {
  const due = new Date(Date.now() + delayS * 1000);
  return `${due.getSeconds()} ${due.getMinutes()} ${due.getHours()} * * *`;
}

interface Figures {
  answers: number;
  median_ms: number;
  p99_ms: number;
  max_ms: number;
}

async function withDaemon(backup: string, work: () => Promise<void>): Promise<void> {
  const off = '"off"';
  await installation.configure({
    more: `[http]\nlisten = "unix:${socket}"\n[schedule]\nbackup = "${backup}"\ncleanup = ${off}\nverify = ${off}\nrepair = ${off}\n`,
  });
  const daemon = Bun.spawn([EXECUTABLE, "run", "--log-level", "error"], {
    env: { PATH: process.env["PATH"] ?? "", HOME: "/", PG321_CONFIG: installation.configFile },
    stdio: ["ignore", "ignore", "inherit"],
  });
  try {
    while (!(await ask("/ready").catch(() => undefined))?.ok) await Bun.sleep(PAUSE_MS);
    await work();
  } finally {
    daemon.kill("SIGTERM");
    daemon.kill("SIGTERM");
    await daemon.exited;
  }
}

function ask(path: string): Promise<Response> {
  return path === EMPTY
    ? fetch("http://localhost/", { unix: emptySocket })
    : fetch(`http://localhost${path}`, { unix: socket });
}

async function isDumping(): Promise<boolean> {
  const { running } = (await (await ask("/status?format=json")).json()) as StatusReport;
  return running.some(({ progress }) => progress.some(({ bytes }) => bytes > 0));
}

/** Requests each path in turn; ignores answers during which `holds` was false. */
async function latencies(holds: () => Promise<boolean>, requests: number): Promise<Record<string, Figures>> {
  const taken = new Map<string, number[]>(PATHS.map((path) => [path, []]));
  for (let round = 0; round < requests; round++) {
    const times: number[] = [];
    for (const path of PATHS) {
      const startedAtMs = performance.now();
      const answer = await ask(path);
      await answer.arrayBuffer();
      if (!answer.ok) throw new Error(`${path}: status ${answer.status}`);
      times.push(performance.now() - startedAtMs);
      await Bun.sleep(PAUSE_MS);
    }
    if (await holds())
      for (const [index, path] of PATHS.entries()) taken.get(path)?.push(times[index] as number);
  }
  return Object.fromEntries([...taken].map(([path, times]) => [path, figures(times)]));
}

function figures(times: number[]): Figures {
  const sorted = times.toSorted((left, right) => left - right);
  const at = (share: number) =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0) * 100) / 100;
  return { answers: times.length, median_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1) };
}
