import { rm } from "node:fs/promises";
import { join } from "node:path";
import { DeleteObjectCommand } from "@aws-sdk/client-s3";
import type { Clock } from "../../src/base/clock.ts";
import { systemClock } from "../../src/base/clock.ts";
import { DAY_MS } from "../../src/base/limits.ts";
import { silentLog } from "../../src/base/log.ts";
import type { AlertRecord, BackupRecord, CopyRecord } from "../../src/catalog/records.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { JobContext } from "../../src/jobs/context.ts";
import { openContext } from "../../src/jobs/context.ts";
import { silentProgress } from "../../src/jobs/progress.ts";
import type { InstallationOptions } from "./installation.ts";
import { Installation, localStorage, s3Storage } from "./installation.ts";
import type { Place } from "./leftovers.ts";
import { keysIn, withCatalog } from "./leftovers.ts";
import { rgw, swift } from "./servers/s3.ts";
import type { PostgresForTests } from "./servers/use-postgres.ts";

/** Here R2 is a Ceph gateway and B2 is Swift: real servers with the limits of those providers. */
export type StorageName = "disk" | "r2" | "b2";
type Settings = Record<string, string | number | boolean>;

/** An installation whose backups a test dates back, to check what retention does with them. */
export interface Retained extends AsyncDisposable {
  readonly installation: Installation;
  readonly places: ReadonlyMap<string, Place>;
  /** Makes a backup with `pg321 backup`, dates it back by some days, and returns its id. */
  backup(ageDays: number): Promise<string>;
  /** Changes the date of a backup in the catalog, as the report did. */
  age(id: string, ageDays: number): Promise<void>;
  /** The objects and manifests of a backup in a storage, listed without pg321. */
  objects(storage: string, id: string): Promise<string[]>;
  /** Removes all objects of a backup from a storage, behind pg321's back. */
  lose(storage: string, id: string): Promise<void>;
  record(id: string): Promise<BackupRecord | undefined>;
  /** `disk:DELETED r2:CONFIRMED`: of every copy of a backup. */
  states(id: string): Promise<string>;
  copies(id: string): Promise<CopyRecord[]>;
  /** Runs `pg321 cleanup --json`: its output and its exit code. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read it freely.
  cleanup(...words: string[]): Promise<any>;
  openAlerts(): Promise<AlertRecord[]>;
}

export interface RetainedOptions extends Partial<Omit<InstallationOptions, "postgres" | "storages">> {
  storages?: readonly StorageName[];
  /** More settings of a storage, by its name. */
  settings?: Partial<Record<StorageName, Settings>>;
  /** The bucket to use for a storage instead of a new one. */
  buckets?: Partial<Record<StorageName, string>>;
  /** More `[[storage]]` tables. */
  others?: (directory: string) => string[];
}

export async function retained(
  postgres: PostgresForTests,
  { storages = ["disk"], settings = {}, buckets = {}, others = () => [], ...rest }: RetainedOptions = {},
): Promise<Retained> {
  const places = new Map<string, Place>();
  for (const name of storages) {
    if (name === "disk") continue;
    const lab = await (name === "r2" ? rgw() : swift());
    places.set(name, { name, lab, bucket: buckets[name] ?? (await lab.makeBucket()) });
  }
  const installation = await Installation.make({
    postgres: postgres.address,
    databases: rest.databases ?? [await postgres.createDatabase()],
    storages: (directory) => [
      ...storages.map((name) => tableOf(name, directory, places.get(name), settings[name] ?? {})),
      ...others(directory),
    ],
    ...rest,
  });
  places.set("disk", { name: "disk", directory: join(installation.directory, "disk") });
  return new RetainedInstallation(installation, places);
}

/** These storages keep copies for only one day, and the bucket gets only one attempt. */
export const BRIEFLY = { disk: { "keep.days": 1 }, r2: { "keep.days": 1, attempts: 1 } };

export function brieflyKept(postgres: PostgresForTests, options: RetainedOptions = {}): Promise<Retained> {
  return retained(postgres, { storages: ["disk", "r2"], settings: BRIEFLY, ...options });
}

/** A context whose clock is some hours ahead of all others. */
export async function contextAhead({ installation }: Retained, hours: number): Promise<JobContext> {
  const clock: Clock = { ...systemClock, now: () => new Date(Date.now() + hours * 3_600_000) };
  const source = { env: {}, credentialsDirectory: undefined };
  return openContext({
    config: await loadConfig(installation.configFile, source),
    log: silentLog,
    clock,
    signal: new AbortController().signal,
    progress: silentProgress,
  });
}

function tableOf(name: StorageName, directory: string, place: Place | undefined, settings: Settings): string {
  if (!place || "directory" in place) return localStorage(name, directory, settings);
  return s3Storage(name, place.lab, place.bucket, settings);
}

class RetainedInstallation implements Retained {
  readonly installation: Installation;
  readonly places: ReadonlyMap<string, Place>;

  constructor(installation: Installation, places: ReadonlyMap<string, Place>) {
    this.installation = installation;
    this.places = places;
  }

  async backup(ageDays: number): Promise<string> {
    const [{ backup_id }] = (await this.installation.ok("backup", "--json")).json.backups;
    if (ageDays > 0) await this.age(backup_id, ageDays);
    return backup_id;
  }

  async age(id: string, ageDays: number): Promise<void> {
    const started_at = new Date(Date.now() - ageDays * DAY_MS).toISOString();
    await withCatalog(this.installation, (catalog) => catalog.updateBackup(id, { started_at }));
  }

  async objects(storage: string, id: string): Promise<string[]> {
    const keys = await keysIn(this.#place(storage));
    return keys.filter((key) => key.includes(`_${id.slice(0, 8)}.`));
  }

  async lose(storage: string, id: string): Promise<void> {
    const place = this.#place(storage);
    for (const key of await this.objects(storage, id)) {
      if ("directory" in place) await rm(join(place.directory, key));
      else
        await place.lab.client.send(new DeleteObjectCommand({ Bucket: place.bucket, Key: `pg321/${key}` }));
    }
  }

  record(id: string): Promise<BackupRecord | undefined> {
    return withCatalog(this.installation, (catalog) => catalog.backup(id));
  }

  copies(id: string): Promise<CopyRecord[]> {
    return withCatalog(this.installation, (catalog) => catalog.copies(id));
  }

  async cleanup(...words: string[]) {
    const { exitCode, json } = await this.installation.run("cleanup", "--json", ...words);
    return { exitCode, ...json };
  }

  openAlerts(): Promise<AlertRecord[]> {
    return withCatalog(this.installation, (catalog) => catalog.alerts({ open: true }));
  }

  async states(id: string): Promise<string> {
    return (await this.copies(id)).map(({ storage, state }) => `${storage}:${state}`).join(" ");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.installation[Symbol.asyncDispose]();
  }

  #place(storage: string): Place {
    const place = this.places.get(storage);
    if (!place) throw new Error(`no storage ${storage}`);
    return place;
  }
}
