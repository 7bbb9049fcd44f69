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
/** In the middle of a dump of 30 MiB; the first part of an upload is full by then. */
const MIDDLE_BYTES = 12 * 1024 * 1024;

export interface DaemonLabOptions {
  postgres: PostgresAddress;
  databases: readonly string[];
  /** Lines of `[schedule]`; every job that they do not name is off. */
  schedule: string;
  /** More TOML tables. */
  more?: string;
  storages?: (directory: string) => string[];
}

/** An installation with a daemon, whose way to PostgreSQL leads through a proxy, and whose storage is a directory. */
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

  /** Writes the config anew, with another schedule. */
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

  /** Starts the daemon; resolves once it works. */
  async start(): Promise<Running> {
    const daemon = watched(this.installation.start("run"));
    this.#daemons.push(daemon);
    await daemon.says("started");
    return daemon;
  }

  /** Starts the daemon with a database that answers no more in the middle of its dump; resolves when it is there. */
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

  /** The records of all runs that a schedule began, oldest first. */
  async runs(schedule?: string): Promise<RunRecord[]> {
    const runs = await withCatalog(this.installation, (catalog) => catalog.runs({}));
    return runs
      .filter((run) => run.schedule !== null && (schedule === undefined || run.schedule === schedule))
      .reverse();
  }

  /** Resolves once the daemon has so many runs of a schedule with this outcome. */
  until(daemon: Running, schedule: string, outcome: RunRecord["outcome"], count = 1): Promise<void> {
    return daemon.until(`${count} runs of ${schedule} are ${outcome}`, async () => {
      const runs = await this.runs(schedule);
      return runs.filter((run) => run.outcome === outcome).length >= count;
    });
  }

  /** What the daemon says of itself. */
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
