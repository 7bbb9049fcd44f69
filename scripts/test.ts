/**
 * `npm test [ARGUMENT…]`: checks, compiles, starts the real servers once, runs `bun test` with the arguments, stops
 * everything, and reports files and processes that were left behind. Ends with `N passed, N failed, N skipped`.
 */
import { chmod, mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres } from "../test/lab/servers/postgres.ts";
import { SHARED_RGW, SHARED_SWIFT, shareable, startRgw, startSwift } from "../test/lab/servers/s3.ts";
import { build, EXECUTABLE } from "./build.ts";
import { check } from "./check.ts";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const ROOT = join(import.meta.dir, "..");
/** Tests wait for conditions on real servers; this only limits a condition that never comes true. */
const TEST_TIMEOUT_MS = 60_000;
/** How long processes may take to end after the tests. */
const END_TIMEOUT_MS = 10_000;

const stop = new AbortController();
for (const [signal, exitCode] of [["SIGINT", 130] as const, ["SIGTERM", 143] as const])
  process.on(signal, () => stop.abort(exitCode));

/** Puts every temporary file of the run into one directory, so that files left behind are found. */
async function inDirectoryOfOurOwn(run: (directory: string) => Promise<Counts>): Promise<Counts> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-test-"));
  // The servers run as other users.
  await chmod(directory, 0o1777);
  process.env["TMPDIR"] = directory;
  try {
    const counts = await run(directory);
    const left = await leftBehind(directory);
    for (const what of left) console.error(`left behind: ${what}`);
    return { ...counts, failed: counts.failed + left.length };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function runTests(directory: string): Promise<Counts> {
  const report = join(directory, "report.xml");
  const exitCode = await withServers(async (env) => {
    const flags = [`--timeout=${TEST_TIMEOUT_MS}`, "--reporter=junit", `--reporter-outfile=${report}`];
    const child = Bun.spawn([process.execPath, "test", ...flags, ...process.argv.slice(2)], {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ["ignore", "inherit", "inherit"],
    });
    stop.signal.addEventListener("abort", () => child.kill("SIGTERM"));
    if (stop.signal.aborted) child.kill("SIGTERM");
    return child.exited;
  });
  const counts = await countsOf(report);
  await rm(report, { force: true });
  // A test process that dies, or fails outside any test, is also a failure.
  return exitCode === 0 ? counts : { ...counts, failed: Math.max(counts.failed, 1) };
}

async function withServers<T>(use: (env: Record<string, string>) => Promise<T>): Promise<T> {
  await using servers = new AsyncDisposableStack();
  const env: Record<string, string> = {};
  const started = await Promise.allSettled([
    startPostgres().then((server) => {
      env["PG321_TEST_POSTGRES"] = JSON.stringify(servers.use(server).address);
    }),
    startRgw().then((server) => {
      env[SHARED_RGW] = shareable(servers.use(server));
    }),
    startSwift().then((server) => {
      env[SHARED_SWIFT] = shareable(servers.use(server));
    }),
  ]);
  // Thrown only after all have started or failed, so that the started ones are known and stopped.
  for (const result of started) if (result.status === "rejected") throw result.reason;
  console.error("test: PostgreSQL, Ceph RGW and Swift are up");
  return await use(env);
}

async function countsOf(report: string): Promise<Counts> {
  const xml = await readFile(report, "utf8").catch(() => "");
  const total = /<testsuites\b[^>]*>/.exec(xml)?.[0] ?? "";
  const count = (name: string) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(total)?.[1] ?? 0);
  const [failed, skipped] = [count("failures"), count("skipped")];
  return { passed: count("tests") - failed - skipped, failed, skipped };
}

/** The files in the directory, and the processes that still mention it; kills these processes. */
async function leftBehind(directory: string): Promise<string[]> {
  const deadline = performance.now() + END_TIMEOUT_MS;
  let processes = await processesThatMention(directory);
  while (processes.length > 0 && performance.now() < deadline) {
    await Bun.sleep(50);
    processes = await processesThatMention(directory);
  }
  for (const { pid } of processes) process.kill(pid, "SIGKILL");
  const files = await readdir(directory);
  return [
    ...files.map((file) => join(directory, file)),
    ...processes.map(({ command }) => `process ${command}`),
  ];
}

async function processesThatMention(directory: string): Promise<{ pid: number; command: string }[]> {
  const found: { pid: number; command: string }[] = [];
  for (const entry of await readdir("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    // The process may end meanwhile.
    const gone = () => "";
    const command = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(gone);
    const environment = await readFile(`/proc/${pid}/environ`, "latin1").catch(gone);
    const workingDirectory = await readlink(`/proc/${pid}/cwd`).catch(gone);
    if (![command, environment, workingDirectory].some((text) => text.includes(directory))) continue;
    found.push({ pid, command: `${pid}: ${command.replaceAll("\0", " ").slice(0, 200)}` });
  }
  return found;
}

async function main(): Promise<Counts> {
  if (!(await check())) return { passed: 0, failed: 1, skipped: 0 };
  await build(EXECUTABLE);
  return inDirectoryOfOurOwn(runTests);
}

const counts = await main().catch((error): Counts => {
  console.error(error);
  return { passed: 0, failed: 1, skipped: 0 };
});
const { passed, failed, skipped } = counts;
// Nobody reads the output in CI, so a skipped test must fail there.
const skipsFail = skipped > 0 && process.env["CI"] === "true";
if (skipsFail) console.error("test: a skipped test is a failure in CI");
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
if (stop.signal.aborted) process.exitCode = stop.signal.reason;
else process.exitCode = failed > 0 || passed === 0 || skipsFail ? 1 : 0;
