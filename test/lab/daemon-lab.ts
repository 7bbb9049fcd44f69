import { join } from "node:path";
import type { RunRecord } from "../../src/catalog/records.ts";
import type { StatusReport } from "../../src/status/report.ts";
import { Installation, localStorage } from "./installation.ts";
import { keysIn, type Place, withCatalog } from "./leftovers.ts";
import { pgDumpOf, type Running, watched } from "./machine/running.ts";
import type { FaultProxy } from "./servers/fault-proxy.ts";
import { startFaultProxy } from "./servers/fault-proxy.ts";
import type { PostgresAddress } from "./servers/postgres.ts";

/** A pattern that is due in no test. */
export const YEARLY = "0 0 1 1 *";
/** A byte in the middle of a dump of 30 MiB; by then the first part of an upload is full. */
const MIDDLE_BYTES = 12 * 1024 * 1024;

export interface DaemonLabOptions {
  postgres: PostgresAddress;
  databases: readonly string[];
  /** Lines of `[schedule]`; every job without a line is off. */
  schedule: string;
  /** More TOML tables. */
  more?: string;
  storages?: (directory: string) => string[];
}

/** An installation with a daemon that reaches PostgreSQL through a proxy and has a directory as storage. */
export class DaemonLab implements AsyncDisposable {
  readonly installation: Installation;
  readonly toPostgres: FaultProxy;
  readonly #more: string;
  readonly #daemons: Running[] = [];

  private constructor(installation: Installation, toPostgres: FaultProxy, more: string) {
    this.installation = installation;
    this.toPostgres = toPostgres;
    this.#more = more;
  }

  static async make({
    postgres,
    databases,
    schedule,
    more = "",
    storages,
  }: DaemonLabOptions): Promise<DaemonLab> {
    const toPostgres = await startFaultProxy(postgres.port);
    const installation = await Installation.make({
      postgres: { ...postgres, port: toPostgres.port },
      databases,
      storages: storages ?? ((directory) => [localStorage("disk", directory)]),
    });
    const lab = new DaemonLab(installation, toPostgres, more);
    await lab.schedule(schedule);
    return lab;
  }

  get disk(): Place {
    return { name: "disk", directory: join(this.installation.directory, "disk") };
  }

  /** Rewrites the config with another schedule. */
  schedule(lines: string, more = this.#more): Promise<void> {
    const off = ["backup", "cleanup", "verify", "repair"]
      .filter((job) => !new RegExp(`^${job} = `, "m").test(lines))
      .map((job) => `${job} = "off"`);
    const socket = join(this.installation.directory, "http.sock");
    return this.installation.configure({
      more: [
        ...["[compression]", 'algorithm = "none"', "[http]", `listen = "unix:${socket}"`],
        ...["[schedule]", ...off, lines, more],
      ].join("\n"),
    });
  }

  /** Starts the daemon; resolves when it is ready. */
  async start(): Promise<Running> {
    const daemon = watched(this.installation.start("run"));
    this.#daemons.push(daemon);
    await daemon.says("started");
    return daemon;
  }

  /** Starts the daemon; the database stops answering in the middle of its dump. Resolves when the dump has reached that. */
  async startToTheMiddle(): Promise<Running> {
    this.toPostgres.stallAnswersAfter(MIDDLE_BYTES);
    const daemon = await this.start();
    await daemon.until(
      "a dump stands still",
      async () =>
        pgDumpOf(daemon.pid) !== undefined && (await keysIn(this.disk)).some((key) => key.endsWith(".tmp")),
    );
    return daemon;
  }

  /** The records of all scheduled runs, oldest first. */
  async runs(schedule?: string): Promise<RunRecord[]> {
    const runs = await withCatalog(this.installation, (catalog) => catalog.runs({}));
    return runs
      .filter((run) => run.schedule !== null && (schedule === undefined || run.schedule === schedule))
      .reverse();
  }

  /** Resolves when the daemon has `count` runs of a schedule with this outcome. */
  until(daemon: Running, schedule: string, outcome: RunRecord["outcome"], count = 1): Promise<void> {
    return daemon.until(`${count} runs of ${schedule} are ${outcome}`, async () => {
      const runs = await this.runs(schedule);
      return runs.filter((run) => run.outcome === outcome).length >= count;
    });
  }

  /** The status that the daemon reports. */
  async status(): Promise<StatusReport> {
    const unix = join(this.installation.directory, "http.sock");
    const answer = await fetch("http://localhost/status?format=json", { unix });
    return (await answer.json()) as StatusReport;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.#daemons) daemon.kill("SIGKILL");
    for (const daemon of this.#daemons) await daemon.ended;
    await this.toPostgres.stop();
    await this.installation[Symbol.asyncDispose]();
  }
}
