import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DAY_MS } from "../../../src/base/limits.ts";
import { silentLog } from "../../../src/base/log.ts";
import type { BackupRecord, CopyRecord } from "../../../src/catalog/records.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { runCleanup } from "../../../src/jobs/cleanup/cleanup.ts";
import type { CleanupReport } from "../../../src/jobs/cleanup/report.ts";
import type { JobContext } from "../../../src/jobs/context.ts";
import { openContext } from "../../../src/jobs/context.ts";
import { settleStatus } from "../../../src/jobs/copies/backup-status.ts";
import { objectKey } from "../../../src/jobs/copies/object-key.ts";
import { silentProgress } from "../../../src/jobs/progress.ts";
import { backupRecord, copyRecord } from "../../suites/catalog/records.ts";
import { ManualClock } from "../manual-clock.ts";

/** Names, and the days that each keeps; the vault is off-site. */
const STORAGES = { disk: 3, nas: 20, vault: 60 } as const;
export type StorageName = keyof typeof STORAGES;
export const NAMES = Object.keys(STORAGES) as StorageName[];
const OBJECT = "as many bytes as any";

export interface Known extends BackupRecord {
  copies: CopyRecord[];
}

interface WorldOptions {
  keep?: string;
  guard?: string;
  cleanup?: string;
  /** By default it has a catalog of its own. */
  host?: WorldHost;
  startsAt?: Date;
}

/** A host of a shared catalog. */
interface WorldHost {
  name: string;
  server: string;
  /** The URL of the catalog. */
  catalog: string;
  /** Where its storages are, the same for all hosts. */
  directory: string;
}

/** A pg321 without PostgreSQL: a real catalog, real directories, and a manual clock. */
export class World implements AsyncDisposable {
  readonly #directory: string;
  readonly context: JobContext;
  readonly #clock: ManualClock;

  constructor(directory: string, context: JobContext, clock: ManualClock) {
    this.#directory = directory;
    this.context = context;
    this.#clock = clock;
  }

  static async make({ keep = "", guard = "", cleanup = "", host, startsAt }: WorldOptions): Promise<World> {
    const directory = host?.directory ?? (await mkdtemp(join(tmpdir(), "pg321-guards-")));
    const clock = new ManualClock(startsAt);
    const tables = NAMES.map(
      (name) =>
        `[[storage]]\nname = "${name}"\ntype = "local"\npath = "${join(directory, name)}"\n` +
        `off_site = ${name === "vault"}\nkeep.days = ${STORAGES[name]}\n${keep}`,
    );
    for (const name of NAMES) await mkdir(join(directory, name), { recursive: true });
    const { name: own = "", server = "main" } = host ?? {};
    const file = join(directory, `config${own}.toml`);
    const shared = host ? `[catalog]\nurl = "${host.catalog}"\n[fleet]\nhost = "${own}"\n` : "";
    await writeFile(
      file,
      `timezone = "Europe/Berlin"\nstate_dir = "${directory}/state${own}"\n[[server]]\nname = "${server}"\n` +
        `${tables.join("")}[encryption]\nmode = "none"\n[guard]\n${guard}\n[cleanup]\n${cleanup}\n${shared}`,
    );
    const context = await openContext({
      config: await loadConfig(file, { env: {} }),
      log: silentLog,
      clock,
      signal: new AbortController().signal,
      progress: silentProgress,
    });
    return new World(directory, context, clock);
  }

  async wait(days: number): Promise<void> {
    await this.#clock.advance(days * DAY_MS);
  }

  /** A good backup with copies in these storages; it takes an hour. */
  async backup(
    database: string,
    storages: readonly StorageName[],
    change: Partial<BackupRecord> = {},
  ): Promise<string> {
    const { catalog, installation, config } = this.context;
    const server = String(config.server[0]?.name);
    const host = catalog.isShared ? this.context.host : null;
    const startedAt = this.#clock.now();
    const id = crypto.randomUUID();
    const key = objectKey({
      ...{ server, database, kind: "dump", backupId: id },
      ...{ startedAt, compression: "zstd", isSealed: false },
    });
    const record = backupRecord({
      ...{
        id,
        installation,
        server,
        host,
        database,
        object_key: key,
        status: "VERIFIED",
        encryption: "none",
      },
      ...{ started_at: startedAt.toISOString(), finished_at: startedAt.toISOString() },
      ...{ object_bytes: OBJECT.length, manifest: "{}" },
      ...change,
    });
    await catalog.insertBackup(record);
    for (const storage of storages) {
      const path = this.#path(storage, key);
      await mkdir(dirname(path), { recursive: true });
      await Promise.all([writeFile(path, OBJECT), writeFile(`${path}.json`, "{}")]);
      await catalog.putCopy(copyRecord(record, { storage, state: "CONFIRMED", object_bytes: OBJECT.length }));
    }
    await this.wait(1 / 24);
    return id;
  }

  /** Removes objects behind pg321's back. */
  async lose(id: string, storages: readonly string[]): Promise<void> {
    const backup = await this.context.catalog.backup(id);
    if (!backup) return;
    for (const storage of storages) await rm(this.#path(storage, backup.object_key), { force: true });
  }

  /** Records copies as damaged, as a verification does. */
  async damage(id: string, storages: readonly string[]): Promise<void> {
    const { catalog } = this.context;
    for (const { storage, state } of await catalog.copies(id)) {
      if (state !== "CONFIRMED" || !storages.includes(storage)) continue;
      await catalog.updateCopy(id, storage, { state: "DAMAGED", error: "a segment is damaged" });
      await settleStatus(this.context, { id });
    }
  }

  async hold(id: string, days: number): Promise<void> {
    const now = this.#clock.now();
    const hold_until = new Date(now.getTime() + days * DAY_MS).toISOString();
    await this.context.catalog.updateBackup(id, { held_at: now.toISOString(), hold_until });
  }

  /** Runs it; if it stops and `confirms` is set, runs it again with the hash that it printed. */
  async cleanup(confirms = false): Promise<CleanupReport[]> {
    const report = await runCleanup(this.context, {});
    const { plan_hash } = report.statistics;
    return confirms && plan_hash !== null ? [report, await this.confirm(plan_hash)] : [report];
  }

  confirm(planHash: string): Promise<CleanupReport> {
    return runCleanup(this.context, { confirm: planHash });
  }

  async known(): Promise<Known[]> {
    const { catalog } = this.context;
    const backups = await catalog.backups({});
    return Promise.all(backups.map(async (one) => ({ ...one, copies: await catalog.copies(one.id) })));
  }

  isHeld({ held_at, hold_until }: Known): boolean {
    return held_at !== null && (hold_until === null || hold_until > this.#clock.now().toISOString());
  }

  isTooOld({ started_at }: Known, storage: StorageName): boolean {
    return this.#clock.now().getTime() - Date.parse(started_at) > STORAGES[storage] * DAY_MS;
  }

  /** The storages whose file system has an object of a backup. */
  really({ object_key }: Pick<BackupRecord, "object_key">): StorageName[] {
    return NAMES.filter((name) => existsSync(this.#path(name, object_key)));
  }

  /** The storages from which a backup can be restored: recorded as confirmed, and existing. */
  restorable(backup: Known): StorageName[] {
    if (backup.status !== "VERIFIED" && backup.status !== "PARTIAL") return [];
    const there = this.really(backup);
    return there.filter((name) =>
      backup.copies.some(({ storage, state }) => storage === name && state === "CONFIRMED"),
    );
  }

  #path(storage: string, key: string): string {
    return join(this.#directory, storage, key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
