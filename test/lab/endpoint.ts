import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../src/base/clock.ts";
import { systemClock } from "../../src/base/clock.ts";
import { type Log, silentLog } from "../../src/base/log.ts";
import type { HttpServer } from "../../src/http/server.ts";
import { serveHttp } from "../../src/http/server.ts";
import { type JobContext, openContext } from "../../src/jobs/context.ts";
import { silentProgress } from "../../src/jobs/progress.ts";
import type { LiveDaemon } from "../../src/status/live-daemon.ts";
import type { RunningStatus } from "../../src/status/report.ts";
import { LOCAL, loadToml, SERVER } from "../fixtures/config-file.ts";
import { ManualClock } from "./manual-clock.ts";

/** The part of the daemon behind an endpoint that a test controls. */
export interface DaemonPart {
  problems: () => Promise<string[]>;
  waits: string[];
  running: RunningStatus[];
  nextRuns: Map<string, Date>;
}

export interface EndpointLab extends AsyncDisposable {
  /** A real context with catalog, storages and config in its own directory. */
  context: JobContext;
  clock: ManualClock;
  part: DaemonPart;
  live: LiveDaemon;
  directory: string;
  /** Opens an endpoint with this [http] table; the lab closes it. */
  serve(http?: string, deps?: { log?: Log; clock?: Clock }): Promise<HttpServer>;
}

export interface EndpointOptions {
  /** More TOML: any table except [http]. */
  more?: string;
  /** Instead of a server "main" and a storage "disk". */
  parts?: string | ((directory: string) => string);
}

/** Everything that the endpoint needs, with a daemon that the test controls and a manual clock. */
export async function endpointLab({
  more = "",
  parts = SERVER + LOCAL,
}: EndpointOptions = {}): Promise<EndpointLab> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-endpoint-"));
  const clock = new ManualClock();
  const toml = `state_dir = ${JSON.stringify(directory)}\n${typeof parts === "string" ? parts : parts(directory)}[encryption]\nmode = "none"\n${more}\n`;
  const context = await openContext({
    config: await loadToml(toml),
    log: silentLog,
    clock,
    signal: new AbortController().signal,
    progress: silentProgress,
  });
  const part: DaemonPart = { problems: async () => [], waits: [], running: [], nextRuns: new Map() };
  const live: LiveDaemon = {
    context: () => context,
    daemon: () => ({
      pid: process.pid,
      started_at: "2026-11-22T00:00:00.000Z",
      uptime_ms: 86_400_000,
      config_file: context.config.file,
      config_checksum: context.config.checksum,
      last_reload: null,
      is_stopping: false,
    }),
    running: () => part.running,
    nextRuns: () => part.nextRuns,
    problems: () => part.problems(),
    waits: () => part.waits,
  };
  const servers: HttpServer[] = [];
  return {
    context,
    clock,
    part,
    live,
    directory,
    async serve(http = 'listen = "127.0.0.1:0"', { log = silentLog, clock: serving = systemClock } = {}) {
      const config = await loadToml(`${toml}[http]\n${http}\n`);
      const server = await serveHttp({ live, config, log, clock: serving });
      servers.push(server);
      return server;
    },
    async [Symbol.asyncDispose]() {
      for (const server of servers) await server.stop();
      await context[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}

/** The [http] table of a config. */
export async function httpTable(http: string) {
  return loadToml(`${SERVER}${LOCAL}[encryption]\nmode = "none"\n[http]\n${http}\n`);
}
