import { mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "bun";
import type { Clock } from "../../../src/base/clock.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { Pg321Error } from "../../../src/base/errors.ts";
import { DAY_MS } from "../../../src/base/limits.ts";
import { type Log, silentLog } from "../../../src/base/log.ts";
import type { BackupRecord } from "../../../src/catalog/records.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { runBackup } from "../../../src/jobs/backup/backup.ts";
import { runCleanup } from "../../../src/jobs/cleanup/cleanup.ts";
import { deleteBackups } from "../../../src/jobs/cleanup/delete-backup.ts";
import type { JobContext } from "../../../src/jobs/context.ts";
import { openContext } from "../../../src/jobs/context.ts";
import { storagesToRead } from "../../../src/jobs/copies/find-backup.ts";
import { acceptStorage } from "../../../src/jobs/markers/storage-identity.ts";
import { silentProgress } from "../../../src/jobs/progress.ts";
import { exportDump } from "../../../src/jobs/restore/export-dump.ts";
import { runRepair } from "../../../src/jobs/verify/repair.ts";
import type { VerifyReport } from "../../../src/jobs/verify/report.ts";
import { runVerify } from "../../../src/jobs/verify/verify.ts";
import { mulberry32 } from "../data/random.ts";
import { Installation } from "../installation.ts";
import { mountTmpfs } from "../machine/mounts.ts";
import type { PostgresAddress } from "../servers/postgres.ts";
import type { S3Lab } from "../servers/s3.ts";
import { BucketPlace, DirectoryPlace, type HistoryPlace, KEEP_DAYS } from "./places.ts";
import { HistoryTruth } from "./truth.ts";

export interface HistoryOptions {
  seed: number;
  postgres: PostgresAddress;
  database: string;
  /** Without a lab all places are directories, and time is simulated; with one the third place is a bucket in real time. */
  lab: S3Lab | undefined;
}

/**
 * A random history of one installation: real PostgreSQL, real directories, a real bucket. Strangers damage and remove
 * copies, disks come and go, names change, the catalog's disk fills up, processes are killed, clocks jump. After each
 * step of the program `violations` has everything that was lost or falsely claimed.
 */
export class History implements AsyncDisposable {
  readonly violations: string[] = [];
  /** How often each step was done. */
  readonly counts: Record<string, number> = {};
  readonly #random: () => number;
  readonly #installation: Installation;
  readonly #places: readonly HistoryPlace[];
  readonly #truth: HistoryTruth;
  readonly #undo: AsyncDisposableStack;
  readonly #hasBucket: boolean;
  #names = ["disk", "nas", "vault"];
  #spareNames = ["hdd", "usb", "nfs"];
  /** How far true time is ahead of the machine's clock, and the program's clock ahead of true time. */
  #passedMs = 0;
  #wrongMs = 0;
  #log: string[] = [];
  /** The program's errors are expected and become part of the story. */
  readonly #told: Log = {
    ...silentLog,
    error: (message, fields) => void this.#log.push(`    ${message}: ${JSON.stringify(fields)}`),
  };

  private constructor(
    { seed, lab }: HistoryOptions,
    installation: Installation,
    places: readonly HistoryPlace[],
    undo: AsyncDisposableStack,
  ) {
    this.#random = mulberry32(seed);
    this.#installation = installation;
    this.#places = places;
    this.#truth = new HistoryTruth(places, {
      keepDays: KEEP_DAYS,
      trueNow: () => systemClock.now().getTime() + this.#passedMs,
      goodBackups: async () => {
        const found = await this.#inProcess((context) =>
          context.catalog.backups({ status: ["VERIFIED", "PARTIAL"] }),
        );
        return found instanceof Error ? [] : (found as BackupRecord[]);
      },
      violation: (step, text) => this.#violation(step, text),
    });
    this.#undo = undo;
    this.#hasBucket = lab !== undefined;
  }

  static async begin(options: HistoryOptions): Promise<History> {
    await using undo = new AsyncDisposableStack();
    const { postgres, database, lab } = options;
    const installation = undo.use(
      await Installation.make({ postgres, databases: [database], storages: () => [] }),
    );
    const directory = (name: string) => new DirectoryPlace(installation.directory, name);
    const third = lab
      ? new BucketPlace(lab, await lab.makeBucket({ versioned: true }))
      : directory("place-2");
    const places = [directory("place-0"), directory("place-1"), third];
    const state = join(installation.directory, "state");
    await mkdir(state, { mode: 0o700 });
    undo.use(await mountTmpfs(state, 16));
    const history = new History(options, installation, places, undo.move());
    await history.#configure();
    await history.backup();
    return history;
  }

  /** Does `rounds` steps, or stops at the first violation. At the end everything is repaired, and nothing may be missing. */
  async live(rounds: number): Promise<void> {
    for (let round = 0; round < rounds && this.violations.length === 0; round++) await this.#step();
    if (this.violations.length === 0) await this.#putRight();
  }

  /** What happened, one line per step. */
  get story(): string {
    return this.#log.join("\n");
  }

  async #step(): Promise<void> {
    const steps: [weight: number, name: string, step: () => Promise<unknown>][] = [
      [6, "backup", () => this.backup()],
      [4, "repair", () => this.#job("repair", (context) => runRepair(context))],
      [3, "verify", () => this.#verify()],
      [4, "cleanup", () => this.#job("cleanup", (context) => runCleanup(context, {}), true)],
      [2, "restore", () => this.#restore()],
      [1, "delete", () => this.#delete()],
      [3, "killed", () => this.#killed()],
      [2, "full catalog", () => this.#whileFull()],
      [3, "flip", () => this.#stranger((place, key) => place.flip(key))],
      [1, "cut", () => this.#stranger((place, key) => place.cut(key))],
      [3, "remove", () => this.#stranger((place, key) => place.remove(key))],
      [2, "unmount or mount", () => this.#unmountOrMount()],
      [2, "rename", () => this.#rename()],
      [1, "double", () => this.#double()],
      [2, "clock jumps", () => this.#jump()],
      [this.#hasBucket ? 0 : 2, "time passes", async () => this.#pass()],
    ];
    const total = steps.reduce((sum, [weight]) => sum + weight, 0);
    const drawn = this.#random() * total;
    let sum = 0;
    const chosen = steps.find(([weight]) => {
      sum += weight;
      return drawn < sum;
    });
    if (!chosen) return;
    const [, name, step] = chosen;
    this.counts[name] = (this.counts[name] ?? 0) + 1;
    this.#log.push(name);
    await step();
  }

  async backup(): Promise<void> {
    await this.#job("backup", (context) => runBackup(context, []));
  }

  /** Runs one job of the program and compares the copies before and after it. */
  async #job(
    name: string,
    run: (context: JobContext) => Promise<unknown>,
    letsGo: boolean | string = false,
  ): Promise<unknown> {
    const before = await this.#truth.whereabouts();
    const outcome = await this.#inProcess(run);
    this.#log.push(`  ${name}: ${outcome instanceof Error ? outcome.message : "ended"}`);
    if (outcome instanceof Error && !(outcome instanceof Pg321Error))
      this.#violation(name, `a bug: ${outcome.stack}`);
    await this.#truth.compare(name, before, letsGo);
    return outcome;
  }

  async #inProcess(run: (context: JobContext) => Promise<unknown>): Promise<unknown> {
    try {
      await using context = await openContext({
        config: await loadConfig(this.#installation.configFile, { env: {} }),
        log: this.#told,
        clock: this.#clock(),
        signal: new AbortController().signal,
        progress: silentProgress,
      });
      return await run(context);
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  #clock(): Clock {
    const aheadMs = this.#passedMs + this.#wrongMs;
    return { ...systemClock, now: () => new Date(systemClock.now().getTime() + aheadMs) };
  }

  async #verify(): Promise<void> {
    const outcome = await this.#job("verify", async (context) =>
      runVerify(
        context,
        (await context.catalog.backups({})).map(({ id }) => id),
      ),
    );
    if (outcome instanceof Error) return;
    const all = await Array.fromAsync((outcome as VerifyReport).verdicts);
    await this.#inProcess((context) => this.#truth.checkClaims(context, this.#names, all));
  }

  async #restore(): Promise<void> {
    await this.#job("restore", async (context) => {
      const backup = this.#pick(await context.catalog.backups({ status: ["VERIFIED", "PARTIAL"] }));
      if (!backup) return;
      const storages = storagesToRead(context, backup, await context.catalog.copies(backup.id), undefined);
      const { bytes } = await exportDump(context, backup, storages, { write: async () => {} });
      if (bytes !== backup.dump_bytes) this.#violation("restore", `${backup.id}: ${bytes} bytes came back`);
    });
  }

  async #delete(): Promise<void> {
    const known = this.#pick([...this.#truth.known.values()]);
    if (!known || this.#truth.known.size < 3) return;
    await this.#job(
      "delete",
      async (context) => {
        const backup = await context.catalog.backup(known.id);
        return backup && deleteBackups(context, { ...backup, ids: [backup.id] }, "delete");
      },
      known.id,
    );
  }

  async #killed(): Promise<void> {
    const before = await this.#truth.whereabouts();
    const command = this.#pick(["backup", "backup", "repair", "cleanup"]) ?? "backup";
    // The started process uses the machine's clock: only if that shows the true time can this step be done.
    if (this.#passedMs + this.#wrongMs !== 0) return;
    const child = this.#installation.start(command);
    await Promise.race([systemClock.sleep(this.#random() * 1_500), child.exited]);
    child.kill("SIGKILL");
    await child.exited;
    await this.#truth.compare(`killed ${command}`, before, command === "cleanup");
  }

  /** Runs a job while the disk of the catalog has little space, or none. */
  async #whileFull(): Promise<void> {
    const filler = join(this.#installation.directory, "state/filler");
    await $`sh -c ${`cat /dev/zero > '${filler}'`}`.quiet().nothrow();
    const roomKib = Math.floor(this.#random() * 200);
    await $`truncate -s -${roomKib}K ${filler}`.quiet().nothrow();
    const jobs = [
      () => this.backup(),
      () => this.#job("repair", (context) => runRepair(context)),
      () => this.#job("cleanup", (context) => runCleanup(context, {}), true),
    ];
    await this.#pick(jobs)?.();
    await rm(filler);
  }

  async #stranger(act: (place: HistoryPlace, key: string) => Promise<void>): Promise<void> {
    const number = Math.floor(this.#random() * this.#places.length);
    const place = this.#places[number] as HistoryPlace;
    const seen = (await place.look()).filter(
      ({ key, visible }) => visible !== undefined && key.includes("/backup_"),
    );
    const object = this.#pick(seen);
    if (!object) return;
    this.#log.push(`  ${object.key} in place ${number}`);
    await act(place, object.key);
  }

  async #unmountOrMount(): Promise<void> {
    const place = this.#pick(this.#places.filter((one) => one instanceof DirectoryPlace));
    if (!place) return;
    if (!place.isAway) return place.unmount();
    await place.mount().catch((error) => this.#violation("mount", `the mount point was filled: ${error}`));
  }

  async #rename(): Promise<void> {
    const [a, b] = [0, 1, 2].sort(() => this.#random() - 0.5) as [number, number];
    const names = [...this.#names];
    if (this.#random() < 0.5) {
      [names[a], names[b]] = [names[b] as string, names[a] as string];
    } else {
      const spare = this.#spareNames.shift() as string;
      this.#spareNames.push(names[a] as string);
      names[a] = spare;
    }
    this.#names = names;
    this.#log.push(`  ${names.join(", ")}`);
    await this.#configure();
  }

  /** Configures a second name for a place: that is refused, and nothing changes. */
  async #double(): Promise<void> {
    const place = this.#pick(this.#places.filter((one) => one instanceof DirectoryPlace && !one.isAway));
    if (!(place instanceof DirectoryPlace)) return;
    const twin = join(this.#installation.directory, "twin");
    await symlink(place.path, twin);
    const table = place.table("twin").replace(JSON.stringify(place.path), JSON.stringify(twin));
    await this.#configure([table]);
    const outcome = await this.#job("backup", (context) => runBackup(context, []));
    if (!(outcome instanceof Pg321Error && outcome.code === "usage"))
      this.#violation("double", `a backup to two names of one place was not refused: ${outcome}`);
    await rm(twin);
    await this.#configure();
  }

  async #jump(): Promise<void> {
    const days = [0, 0, 1 / 72, -1 / 72, 3, 40, 400, -3];
    this.#wrongMs = (this.#pick(days) ?? 0) * DAY_MS;
    this.#log.push(`  ${this.#wrongMs / 60_000} min`);
  }

  #pass(): void {
    const days = this.#pick([1, 1, 3, 8]) ?? 1;
    this.#passedMs += days * DAY_MS;
    this.#log.push(`  ${days} days`);
  }

  /** Mounts all disks and corrects the clock: then every backup with a good copy becomes good everywhere. */
  async #putRight(): Promise<void> {
    this.#wrongMs = 0;
    for (const place of this.#places)
      if (place instanceof DirectoryPlace && place.isAway)
        await place
          .mount()
          .catch((error) => this.#violation("mount", `the mount point was filled: ${error}`));
    await this.#inProcess(async (context) => {
      for (const storage of context.storages) await acceptStorage(context, storage).catch(() => {});
    });
    await this.#verify();
    await this.#job("repair", (context) => runRepair(context));
    await this.#verify();
    await this.#inProcess((context) => this.#truth.checkEnd(context));
  }

  async #configure(more: readonly string[] = []): Promise<void> {
    const tables = this.#places.map((place, number) => place.table(this.#names[number] as string));
    await this.#installation.configure({ storages: () => [...tables, ...more] });
  }

  #violation(step: string, what: string): void {
    this.violations.push(`${step}: ${what}`);
    this.#log.push(`  VIOLATION: ${what}`);
  }

  #pick<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.#random() * items.length)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}
