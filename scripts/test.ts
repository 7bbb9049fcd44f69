/**
 * `npm test [FILTER…]`: checks, compiles, starts the real servers, runs the test files side by side, stops everything, and
 * reports files and processes that were left behind. With options, `bun test` gets all the arguments in one process. Ends
 * with `N passed, N failed, N skipped`.
 */
import { chmod, mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inParallel } from "../src/base/in-parallel.ts";
import { startPostgres } from "../test/lab/servers/postgres.ts";
import { SHARED_RGW, SHARED_SWIFT, shareable, startRgw, startSwift } from "../test/lab/servers/s3.ts";
import { build, EXECUTABLE } from "./build.ts";
import { check } from "./check.ts";
import { batchesOf, failuresIn, workerCount } from "./side-by-side.ts";

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

/** The output of failed tests, repeated at the end, where it is found. */
const failures: string[] = [];

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

/** Runs the asked test files side by side, each worker with its own servers. */
async function runTests(directory: string): Promise<Counts> {
  const args = process.argv.slice(2);
  const hasOptions = args.some((argument) => argument.startsWith("-"));
  // With an option of `bun test`, one process gets all the arguments.
  const batches = hasOptions
    ? [args]
    : batchesOf(ROOT, args).map((files) => files.map((file) => `./${file}`));
  if (batches.length === 0) throw new Error(`no test file has ${args.join(" or ")} in its path`);
  const total = { passed: 0, failed: 0, skipped: 0 };
  const workers = workerCount(batches.length);
  await withServers(workers, async (environments) => {
    await inParallel(batches, workers, async (batch, worker) => {
      if (stop.signal.aborted) return;
      const counts = await runBatch(
        batch,
        join(directory, `report-${worker}.xml`),
        environments[worker] ?? {},
      );
      total.passed += counts.passed;
      total.failed += counts.failed;
      total.skipped += counts.skipped;
    });
  });
  return total;
}

async function runBatch(args: string[], report: string, env: Record<string, string>): Promise<Counts> {
  const flags = [`--timeout=${TEST_TIMEOUT_MS}`, "--reporter=junit", `--reporter-outfile=${report}`];
  // The output of a batch comes whole, so that the lines of two do not mix.
  const child = Bun.spawn([process.execPath, "test", ...flags, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const onStop = () => child.kill("SIGTERM");
  stop.signal.addEventListener("abort", onStop, { once: true });
  const output = await Promise.all([child.stdout.bytes(), child.stderr.bytes(), child.exited]);
  stop.signal.removeEventListener("abort", onStop);
  process.stdout.write(output[0]);
  process.stderr.write(output[1]);
  const counts = await countsOf(report);
  await rm(report, { force: true });
  // A test process that dies, or fails outside any test, is also a failure.
  if (output[2] === 0) return counts;
  failures.push(`${args.join(" ")}\n${failuresIn(new TextDecoder().decode(output[1]))}`);
  return { ...counts, failed: Math.max(counts.failed, 1) };
}

/** Starts a set of servers for each worker, because tests restart them, use up their connections and count requests. */
async function withServers(
  workers: number,
  use: (environments: Record<string, string>[]) => Promise<void>,
): Promise<void> {
  await using servers = new AsyncDisposableStack();
  const environments = Array.from({ length: workers }, (): Record<string, string> => ({}));
  const started = await Promise.allSettled(
    environments.flatMap((env) => [
      startPostgres().then((server) => {
        env["PG321_TEST_POSTGRES"] = JSON.stringify(servers.use(server).address);
      }),
      startRgw().then((server) => {
        env[SHARED_RGW] = shareable(servers.use(server));
      }),
      startSwift().then((server) => {
        env[SHARED_SWIFT] = shareable(servers.use(server));
      }),
    ]),
  );
  // Thrown only after all have started or failed, so that the started ones are known and stopped.
  for (const result of started) if (result.status === "rejected") throw result.reason;
  console.error(`test: PostgreSQL, Ceph RGW and Swift are up, for ${workers} at a time`);
  await use(environments);
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
for (const failure of failures) console.error(`\n--- failed in ${failure}`);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
if (stop.signal.aborted) process.exitCode = stop.signal.reason;
else process.exitCode = failed > 0 || passed === 0 || skipsFail ? 1 : 0;
