import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Pg321Error } from "../../../src/base/errors.ts";
import type { BackupRecord, CopyState } from "../../../src/catalog/records.ts";
import { archiveCopy } from "../../../src/jobs/cleanup/archive-copy.ts";
import { deleteBackups } from "../../../src/jobs/cleanup/delete-backup.ts";
import { deleteCopy } from "../../../src/jobs/cleanup/delete-copy.ts";
import type { JobContext } from "../../../src/jobs/context.ts";
import { settleStatus } from "../../../src/jobs/copies/backup-status.ts";
import { CopyChecks } from "../../../src/jobs/copies/checks.ts";
import { reconcile } from "../../../src/jobs/copies/reconcile.ts";
import type { StoredBackup } from "../../../src/jobs/copies/steps.ts";
import { fillCopy, intendedCopy } from "../../../src/jobs/copies/steps.ts";
import { intendCopies, storeEverywhere } from "../../../src/jobs/copies/store-copies.ts";
import { ProgressMeter } from "../../../src/jobs/progress.ts";
import { storageNamed } from "../../../src/jobs/storages.ts";
import { runRepair } from "../../../src/jobs/verify/repair.ts";
import { runVerify } from "../../../src/jobs/verify/verify.ts";
import { encodeManifest } from "../../../src/sealed/manifest.ts";
import { generateSigningKey, type SigningKey } from "../../../src/sealed/signing-key.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import type { StorageName } from "../../lab/data/made-up-world.ts";
import { World } from "../../lab/data/made-up-world.ts";

/** A backup whose record and manifests match its bytes, so it can be copied, verified and confirmed. */
async function provenBackup(
  world: World,
  storages: readonly StorageName[],
  more: Pick<Partial<BackupRecord>, "server_version"> = {},
  signingKey?: SigningKey,
): Promise<BackupRecord> {
  const { catalog } = world.context;
  const id = await world.backup("app", storages);
  const found = (await catalog.backup(id)) as BackupRecord;
  const bytes = await readFile(pathOf(world, storages[0] as StorageName, found));
  const facts = {
    compression: "zstd" as const,
    dump_bytes: bytes.length,
    object_sha256: createHash("sha256").update(bytes).digest("hex"),
    ...more,
  };
  const about = { ...found, ...facts, backup_id: id, object_bytes: bytes.length, pg321_version: "1.0.0" };
  const { id: _, manifest: _none, finished_at, ...fields } = about;
  const manifest = encodeManifest({ ...fields, finished_at: finished_at ?? "" }, signingKey);
  for (const storage of storages) await writeFile(`${pathOf(world, storage, found)}.json`, manifest);
  await catalog.updateBackup(id, { ...facts, manifest });
  return { ...found, ...facts, manifest };
}

function pathOf({ context }: World, storage: StorageName, { object_key }: BackupRecord): string {
  return join(storageOf(context, storage).describe()["path"] as string, object_key);
}

function storageOf(context: JobContext, name: StorageName): Storage {
  const found = storageNamed(context, name);
  if (!found) throw new Error(`no storage ${name}`);
  return found;
}

/** The same world with some methods of one storage replaced. */
function changed(context: JobContext, name: StorageName, change: Partial<Storage>): JobContext {
  const storages = context.storages.map((storage) => {
    if (storage.name !== name) return storage;
    const get = (target: Storage, property: string | symbol) => {
      const found = Reflect.get({ ...change }, property) ?? Reflect.get(target, property);
      return typeof found === "function" ? found.bind(target) : found;
    };
    return new Proxy(storage, { get });
  });
  return { ...context, storages };
}

const refusing: Partial<Storage> = {
  remove: () => Promise.reject(new Pg321Error("storage", "the key may not delete")),
};

async function mark({ context }: World, id: string, storage: StorageName, state: CopyState): Promise<void> {
  await context.catalog.updateCopy(id, storage, { state });
  await settleStatus(context, { id });
}

async function states({ context }: World, id: string): Promise<string> {
  return (await context.catalog.copies(id)).map(({ storage, state }) => `${storage}:${state}`).join(" ");
}

describe("a damaged copy that cannot be removed", () => {
  test("does not count as good after a failed repair", async () => {
    await using world = await World.make({});
    const backup = await provenBackup(world, ["disk", "vault"]);
    await writeFile(pathOf(world, "disk", backup), "as many bytes as ANY");
    await mark(world, backup.id, "disk", "DAMAGED");
    const { results } = await runRepair(changed(world.context, "disk", refusing));
    expect(await Array.fromAsync(results)).toContainEqual(
      expect.objectContaining({ storage: "disk", outcome: "failed" }),
    );
    await reconcile(world.context);
    expect(await states(world, backup.id)).toContain("disk:DAMAGED");
    await runRepair(world.context);
    expect(await states(world, backup.id)).toContain("disk:CONFIRMED");
    expect(await readFile(pathOf(world, "disk", backup), "utf8")).toBe("as many bytes as any");
  });

  test("does not count as good for an archive, which would remove the good one", async () => {
    await using world = await World.make({});
    const backup = await provenBackup(world, ["disk", "vault"]);
    await writeFile(pathOf(world, "vault", backup), "as many bytes as ANY");
    await mark(world, backup.id, "vault", "DAMAGED");
    const context = changed(world.context, "vault", refusing);
    const places = { from: storageOf(context, "disk"), to: storageOf(context, "vault") };
    await expect(archiveCopy(context, backup, places, context.signal)).rejects.toThrow("may not delete");
    await reconcile(world.context);
    expect(await states(world, backup.id)).toBe("disk:CONFIRMED vault:DAMAGED");
  });
});

test("the copy in an archive is removed only after the source was read completely and found good", async () => {
  await using world = await World.make({});
  const backup = await provenBackup(world, ["disk", "vault"]);
  await writeFile(pathOf(world, "disk", backup), "as many bytes as ANY");
  await mark(world, backup.id, "vault", "MISSING");
  const places = { from: storageOf(world.context, "disk"), to: storageOf(world.context, "vault") };
  await expect(archiveCopy(world.context, backup, places, world.context.signal)).rejects.toThrow("damaged");
  expect(await readFile(pathOf(world, "vault", backup), "utf8")).toBe("as many bytes as any");
  // The source was read completely and found damaged, which is recorded.
  expect(await states(world, backup.id)).toBe("disk:DAMAGED vault:MISSING");
});

test("a copy that was removed while it was verified stays removed", async () => {
  await using world = await World.make({});
  const backup = await provenBackup(world, ["disk", "vault"]);
  const disk = storageOf(world.context, "disk");
  const context = changed(world.context, "disk", {
    async *get(...request) {
      yield* disk.get(...request);
      if (request[0] !== backup.object_key) return;
      const copy = (await world.context.catalog.copies(backup.id)).find(({ storage }) => storage === "disk");
      if (copy) await deleteCopy(world.context, disk, copy, { why: "asked" }, world.context.signal);
    },
  });
  await runVerify(context, [backup.id]);
  expect(await states(world, backup.id)).toBe("disk:DELETED vault:CONFIRMED");
});

test("a hold placed while the confirmation was pending prevents the deletion", async () => {
  await using world = await World.make({});
  const asked = await provenBackup(world, ["disk"]);
  await world.hold(asked.id, 1);
  await expect(deleteBackups(world.context, { ...asked, ids: [asked.id] }, "forget")).rejects.toThrow(
    "on hold: ",
  );
  expect(world.really(asked)).toEqual(["disk"]);
});

test("a hold placed while other backups are deleted keeps its own", async () => {
  await using world = await World.make({});
  const [held, first] = [await provenBackup(world, ["disk"]), await provenBackup(world, ["disk"])];
  const disk = storageOf(world.context, "disk");
  const context = changed(world.context, "disk", {
    async remove(...request) {
      await world.hold(held.id, 1);
      return disk.remove(...request);
    },
  });
  const report = await deleteBackups(context, { ...held, ids: [first.id, held.id] }, "forget");
  await using results = report.results;
  expect(await Array.fromAsync(results)).toMatchObject([
    { backup_id: first.id, outcome: "deleted" },
    { backup_id: held.id, outcome: "failed", error: expect.stringContaining("on hold until ") },
  ]);
  expect([report.records_deleted, report.isComplete]).toEqual([1, false]);
  expect([world.really(first), world.really(held)]).toEqual([[], ["disk"]]);
});

describe("cleanup", () => {
  test("keeps a copy that was missing and is back until verify has checked it", async () => {
    await using world = await World.make({});
    const backup = await provenBackup(world, ["disk"]);
    await mark(world, backup.id, "disk", "MISSING");
    await world.wait(5);
    await provenBackup(world, ["disk"]);
    const [report] = await world.cleanup();
    expect(report?.statistics.notes).toContainEqual(
      expect.objectContaining({ storage: "disk", note: expect.stringContaining("is back") }),
    );
    expect(world.really(backup)).toEqual(["disk"]);
    await runVerify(world.context, [backup.id]);
    await world.cleanup();
    expect(world.really(backup)).toEqual([]);
  });

  test("keeps damaged copies while their database has no good backup: they may be all that is left", async () => {
    await using world = await World.make({});
    const backup = await provenBackup(world, ["disk"]);
    await mark(world, backup.id, "disk", "DAMAGED");
    await world.wait(5);
    await world.cleanup();
    expect(world.really(backup)).toEqual(["disk"]);
    await provenBackup(world, ["disk"]);
    await world.cleanup();
    expect(world.really(backup)).toEqual([]);
  });

  test("does not rely on a copy that was removed since its check", async () => {
    await using world = await World.make({});
    const { id } = await provenBackup(world, ["disk"]);
    const looks = new CopyChecks(world.context, () => {});
    expect(await looks.at(id, "disk")).toBe("there");
    await world.context.catalog.updateCopy(id, "disk", { state: "DELETED" });
    expect(await looks.at(id, "disk")).toBe("missing");
  });

  test("counts no copy as missing if the disk was unmounted since the run began", async () => {
    await using world = await World.make({});
    const { id } = await provenBackup(world, ["disk"]);
    const { catalog, clock } = world.context;
    // The place has no marker although the catalog knows one: this is the empty mount point.
    await catalog.identities.confirm("disk", crypto.randomUUID(), clock.now().toISOString(), null);
    await world.lose(id, ["disk"]);
    expect(await new CopyChecks(world.context, () => {}).at(id, "disk")).toBe("unknown");
    expect((await catalog.copies(id)).map(({ state }) => state)).toEqual(["CONFIRMED"]);
  });
});

describe("a disk unmounted since the run began is not written to", () => {
  /** The catalog knows a marker in "nas", but there is none: this is the empty mount point. */
  async function unmounted(): Promise<{ world: World; backup: StoredBackup }> {
    const world = await World.make({});
    const backup = (await provenBackup(world, ["disk"])) as StoredBackup;
    const { catalog, clock } = world.context;
    await catalog.identities.confirm("nas", crypto.randomUUID(), clock.now().toISOString(), null);
    return { world, backup };
  }
  const signal = new AbortController().signal;

  test("by repair", async () => {
    const { world, backup } = await unmounted();
    await using _ = world;
    const [from, to] = [storageOf(world.context, "disk"), storageOf(world.context, "nas")];
    await world.context.catalog.putCopy(intendedCopy(backup, to));
    const options = { partBytes: 5 * 1024 * 1024, signal };
    expect(await fillCopy(world.context, backup, { from, to }, options)).toBe(false);
    expect(world.really(backup)).toEqual(["disk"]);
    const copy = (await world.context.catalog.copies(backup.id)).find(({ storage }) => storage === "nas");
    expect(copy).toMatchObject({ state: "FAILED", error: expect.stringContaining("its marker is missing") });
  });

  test("by a backup of the next database", async () => {
    const { world, backup } = await unmounted();
    await using _ = world;
    const record = { ...backup, id: crypto.randomUUID(), object_key: `${backup.object_key}.next` };
    await world.context.catalog.insertBackup(record);
    await intendCopies(world.context, record);
    async function* source() {
      yield Buffer.from("bytes");
    }
    const progress = new ProgressMeter(world.context.progress, "backup", undefined, []);
    const options = { partBytes: 5 * 1024 * 1024, signal, progress };
    const outcomes = await storeEverywhere(world.context, record, source, options);
    progress.end();
    expect(outcomes.map(({ name, state }) => [name, state]).slice(0, 2)).toEqual([
      ["disk", "stored"],
      ["nas", "failed"],
    ]);
    expect(world.really(record)).toEqual(["disk", "vault"]);
  });
});

describe("a manifest that a lenient decoder would accept as the written one", () => {
  test.each<[string, (manifest: Buffer) => Buffer]>([
    ["a byte order mark in front", (manifest) => Buffer.concat([Buffer.from("\ufeff"), manifest])],
    [
      "an invalid byte",
      (manifest) => Buffer.from(manifest.toString("latin1").replace("\xef\xbf\xbd", "\xff"), "latin1"),
    ],
  ])("is damage: %s", async (_, change) => {
    await using world = await World.make({});
    const backup = await provenBackup(world, ["disk", "vault"], { server_version: "15.\ufffd" });
    const path = `${pathOf(world, "vault", backup)}.json`;
    await writeFile(path, change(await readFile(path)));
    const { verdicts } = await runVerify(world.context, [backup.id]);
    expect(JSON.stringify(await Array.fromAsync(verdicts))).toContain('"damaged"');
    expect(await states(world, backup.id)).toBe("disk:CONFIRMED vault:DAMAGED");
  });

  test.each([
    ["deep JSON", `{"manifest":1,"later":${"[".repeat(400_000)}${"]".repeat(400_000)}}`],
    ["deep JSON without an end", '{"a":'.repeat(200_000)],
    ["bytes that are no text", Buffer.alloc(1000, 0xff)],
  ])("an intended copy is settled: %s", async (_, content) => {
    await using world = await World.make({});
    const backup = await provenBackup(world, ["disk", "vault"]);
    await writeFile(`${pathOf(world, "vault", backup)}.json`, content);
    await mark(world, backup.id, "vault", "INTENDED");
    await reconcile(world.context);
    // The object is complete: it gets the manifest from the catalog.
    expect(await states(world, backup.id)).toBe("disk:CONFIRMED vault:CONFIRMED");
    expect(await readFile(`${pathOf(world, "vault", backup)}.json`, "utf8")).toBe(backup.manifest ?? "");
  });
});

test("a copy of a killed run is settled although the signing key has been replaced since", async () => {
  await using world = await World.make({});
  const backup = await provenBackup(world, ["disk", "vault"], {}, generateSigningKey(crypto.randomUUID()));
  await mark(world, backup.id, "vault", "INTENDED");
  await reconcile(world.context);
  expect(await states(world, backup.id)).toBe("disk:CONFIRMED vault:CONFIRMED");
  expect(await readFile(`${pathOf(world, "vault", backup)}.json`, "utf8")).toBe(backup.manifest ?? "");
});
