import { expect, spyOn, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadToml, MINIMAL } from "../../test/fixtures/config-file.ts";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import { MINUTE_MS } from "../base/limits.ts";
import { silentLog } from "../base/log.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { openCatalog } from "../catalog/open.ts";
import { silentProgress } from "../jobs/progress.ts";
import type { DaemonOptions } from "./daemon.ts";
import { Daemon } from "./daemon.ts";
import { holdDaemonLease } from "./daemon-lease.ts";

/** This process, so that the holder of the lease is alive. */
const SELF = { host: "here", pid: process.pid };

/** A clock that can jump ahead without waking its sleepers, as in a process that hangs. */
class HangingClock extends ManualClock {
  #lostMs = 0;

  hang(durationMs: number): void {
    this.#lostMs += durationMs;
  }

  override monotonicMs(): number {
    return super.monotonicMs() + this.#lostMs;
  }
}

interface Fixture extends AsyncDisposable {
  daemon: Daemon;
  clock: HangingClock;
  catalog: Catalog;
  sent: string[];
  stop: AbortController;
  running: Promise<void>;
}

async function running(options: Partial<DaemonOptions> = {}, verify = "off"): Promise<Fixture> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-daemon-"));
  const clock = new HangingClock();
  const off = `[schedule]\nbackup = "off"\ncleanup = "off"\nverify = "${verify}"\nrepair = "off"\n`;
  const server = 'host = "127.0.0.1"\nport = 1\n';
  const config = await loadToml(
    `state_dir = "${directory}"\n${MINIMAL.replace('name = "main"\n', `name = "main"\n${server}`)}${off}`,
  );
  const catalog = await openCatalog(config.catalog, { clock });
  const signal = new AbortController().signal;
  const lease = await holdDaemonLease(catalog, SELF, { clock, signal, onWait: () => {} });
  const sent: string[] = [];
  const daemon = await Daemon.open({
    config,
    catalog,
    lease,
    log: silentLog,
    clock,
    progress: silentProgress,
    isService: false,
    watchdogPauseMs: 20_000,
    notify: (state) => sent.push(...Object.keys(state)),
    loadConfig: async () => config,
    onConfig: async () => {},
    onReload: async () => {},
    ...options,
  });
  const stop = new AbortController();
  const work = daemon.run(stop.signal);
  work.catch(() => {});
  return {
    ...{ daemon, clock, catalog, sent, stop, running: work },
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the test is over"));
      await clock.advanceUntil(work.catch(() => {}));
      await lease[Symbol.asyncDispose]();
      await catalog[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}

test("it is healthy and feeds the watchdog while its scheduler ticks, and neither if the scheduler hangs", async () => {
  await using fixture = await running();
  const { daemon, clock, sent } = fixture;
  await clock.advance(10 * MINUTE_MS);
  expect(await daemon.problems()).toEqual([]);
  expect(sent.filter((name) => name === "WATCHDOG").length).toBeGreaterThanOrEqual(30);
  clock.hang(5 * MINUTE_MS);
  expect(await daemon.problems()).toEqual(["the schedule was not checked for 300 s"]);
  sent.length = 0;
  await clock.advance(20_000);
  expect(sent).not.toContain("WATCHDOG");
  await clock.advance(20_000);
  expect(await daemon.problems()).toEqual([]);
  expect(sent).toContain("WATCHDOG");
});

test("memory is given back once after each run, when the daemon is at rest", async () => {
  using shrink = spyOn(Bun, "shrink").mockImplementation(() => {});
  using _cpu = spyOn(process, "cpuUsage").mockReturnValue({ user: 0, system: 0 });
  await using fixture = await running({}, "@hourly");
  const { daemon, clock, catalog } = fixture;
  await clock.advance(30 * MINUTE_MS);
  const before = shrink.mock.calls.length;
  const ended = async () => (await catalog.runs({ job: "verify" })).filter((run) => run.finished_at).length;
  for (let count = 1; count <= 2; count++) {
    const runs = await ended();
    while ((await ended()) === runs) await clock.advance(MINUTE_MS);
    await clock.advance(5 * MINUTE_MS);
    expect({ at: count, shrunk: shrink.mock.calls.length - before }).toEqual({ at: count, shrunk: count });
  }
  expect(daemon.running()).toEqual([]);
});

test("a failing catalog is a problem, but the watchdog is still fed", async () => {
  await using fixture = await running();
  const { daemon, clock, catalog, sent } = fixture;
  catalog.installation = () => Promise.reject(new Error("disk I/O error"));
  expect(await daemon.problems()).toEqual(["the catalog does not answer: disk I/O error"]);
  const hung = Promise.withResolvers<undefined>();
  catalog.installation = () => hung.promise;
  const problems = daemon.problems();
  await clock.advance(2_000);
  expect(await problems).toEqual(["the catalog does not answer: no answer within 2 s"]);
  sent.length = 0;
  await clock.advance(MINUTE_MS);
  expect(sent).toContain("WATCHDOG");
});

test("a catalog that cannot be written is a problem until it can be written again, and the daemon keeps running", async () => {
  await using fixture = await running();
  const { daemon, clock, catalog } = fixture;
  const renewLease = catalog.renewLease.bind(catalog);
  catalog.renewLease = () => Promise.reject(new Error("the disk is full"));
  await clock.advance(30 * MINUTE_MS);
  expect(daemon.daemon().is_stopping).toBe(false);
  expect(await daemon.problems()).toEqual(["the catalog cannot be written: the disk is full"]);
  catalog.renewLease = renewLease;
  await clock.advance(MINUTE_MS);
  expect(await daemon.problems()).toEqual([]);
});

test("a daemon that loses its lease stops with an error", async () => {
  await using fixture = await running();
  const { clock, catalog } = fixture;
  const [lease] = await catalog.leases();
  await catalog.releaseLease("daemon", lease?.run_id ?? "");
  await expect(clock.advanceUntil(fixture.running, 1_000)).rejects.toThrow("daemon: the lease was lost");
});

test("it is ready from its start to its stop", async () => {
  await using fixture = await running();
  const { daemon, stop, clock } = fixture;
  expect(daemon.waits()).toEqual([]);
  stop.abort(new Error("enough"));
  await clock.advanceUntil(fixture.running);
  expect(daemon.waits()).toEqual(["the daemon is stopping"]);
  expect(daemon.daemon().is_stopping).toBe(true);
  expect(fixture.sent.slice(0, 2)).toEqual(["READY", "STATUS"]);
  expect(fixture.sent).toContain("STOPPING");
});

test("a stop that hangs gets a few more minutes from systemd, but not for ever", async () => {
  const hung = Promise.withResolvers<never>();
  await using fixture = await running({ loadConfig: () => hung.promise });
  using _end = { [Symbol.dispose]: () => hung.reject(new Error("the test is over")) };
  const { daemon, clock, sent, stop } = fixture;
  void daemon.reload();
  stop.abort(new Error("enough"));
  await clock.advance(4 * MINUTE_MS);
  const extensions = () => sent.filter((name) => name === "EXTEND_TIMEOUT_USEC").length;
  expect(extensions()).toBeGreaterThanOrEqual(16);
  await clock.advance(6 * MINUTE_MS);
  const before = extensions();
  await clock.advance(60 * MINUTE_MS);
  expect(extensions()).toBe(before);
});

test("a stop ends in time even if a reload hangs", async () => {
  await using fixture = await running({ loadConfig: () => new Promise(() => {}) });
  const { daemon, clock, stop, running: work } = fixture;
  void daemon.reload();
  stop.abort(new Error("ended by SIGTERM"));
  await clock.advanceUntil(work.catch(() => {}));
  await expect(work).rejects.toThrow("ended by SIGTERM");
});
