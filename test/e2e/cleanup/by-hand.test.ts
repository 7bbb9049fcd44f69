import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  CreateMultipartUploadCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { leaseName } from "../../../src/catalog/database-lease.ts";
import { holdLease } from "../../../src/catalog/lease.ts";
import { runCleanup } from "../../../src/jobs/cleanup/cleanup.ts";
import { generateIdentity } from "../../../src/sealed/identity.ts";
import { keysIn, withCatalog } from "../../lab/leftovers.ts";
import { BRIEFLY, brieflyKept, contextAhead, type Retained, retained } from "../../lab/retained.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();

describe("an object without a record", () => {
  test("is reported and never deleted; a backup of ours with a good manifest is adopted", async () => {
    await using at = await brieflyKept(postgres);
    const id = await at.backup(0);
    const place = at.places.get("r2");
    if (!place || !("bucket" in place)) throw new Error("no bucket");
    await place.lab.client.send(
      new PutObjectCommand({ Bucket: place.bucket, Key: "pg321/main/stray.txt", Body: "hello" }),
    );
    await withCatalog(at.installation, async (catalog) => {
      const backup = await catalog.backup(id);
      if (!backup) throw new Error("no record");
      const { server, database, kind, started_at, dump_bytes, object_bytes } = backup;
      await catalog.removeBackup({
        backup_id: id,
        server,
        database,
        kind,
        started_at,
        dump_bytes,
        object_bytes,
        was_good: true,
        removed_at: started_at,
        removed_by: "delete",
      });
    });
    const before = await keysIn(place);
    const report = await at.cleanup();
    expect(report.exitCode).toBe(0);
    expect(report.orphans).toEqual([
      { storage: "disk", objects: 2, bytes: expect.any(Number) },
      { storage: "r2", objects: 3, bytes: expect.any(Number) },
    ]);
    expect(report.orphan_objects).toContainEqual({ storage: "r2", key: "main/stray.txt", size_bytes: 5 });
    expect(await keysIn(place)).toEqual(before);
    expect(await at.record(id)).toBeUndefined();

    // A genuine manifest beside another object does not make that a backup.
    const [object = "", manifest = ""] = (await at.objects("r2", id)).toSorted();
    const { Body } = await place.lab.client.send(
      new GetObjectCommand({ Bucket: place.bucket, Key: `pg321/${manifest}` }),
    );
    const text = (await Body?.transformToString()) ?? "";
    for (const [key, Body] of [
      [`${object}.copy`, "something else"],
      [`${object}.copy.json`, text],
    ] as const)
      await place.lab.client.send(new PutObjectCommand({ Bucket: place.bucket, Key: `pg321/${key}`, Body }));
    const { stdout: preview } = await at.installation.ok("cleanup", "--adopt", "--dry-run");
    expect(preview).toMatch(
      /^copies to adopt +2\nr2: 3 objects \(\S+ \w+\) without a record:\n( {2}\S+ \(.*\)\n){3}$/m,
    );
    const { stdout: grouped } = await at.installation.ok("cleanup", "--dry-run");
    const listed = grouped.slice(grouped.indexOf("disk: 2 objects")).replaceAll(/^ {2}.*$/gm, "  KEY");
    expect(listed.replaceAll(/\(.*\)/g, "(SIZE)").split("\n")).toEqual([
      "disk: 2 objects (SIZE) without a record:",
      ...Array(2).fill("  KEY"),
      "r2: 5 objects (SIZE) without a record:",
      ...Array(5).fill("  KEY"),
      "pg321 cleanup --adopt adds those that are backups of this installation to the catalog",
      "",
    ]);
    const adopting = await at.cleanup("--adopt");
    expect(adopting).toMatchObject({
      exitCode: 0,
      adopted: 2,
      orphans: [{ storage: "r2", objects: 3, bytes: expect.any(Number) }],
    });
    expect(await at.record(id)).toMatchObject({ status: "VERIFIED" });
    expect(await at.states(id)).toBe("disk:CONFIRMED r2:CONFIRMED");
    const verdicts = (await at.installation.ok("verify", "--all", "--json")).json.copies;
    expect(verdicts.map(({ verdict }: { verdict: string }) => verdict)).toEqual(["good", "good"]);
  });

  test("a restore test's result of another host is no orphan, and goes with its copy", async () => {
    await using at = await brieflyKept(postgres);
    const id = await at.backup(0);
    const [object = ""] = (await at.objects("disk", id)).toSorted();
    const disk = join(at.installation.directory, "disk");
    const result = `${object}.restore-test.${crypto.randomUUID()}.json`;
    const stranger = `${object}.restore-test.notes.txt`;
    for (const key of [result, stranger]) await writeFile(join(disk, key), "{}");
    expect((await at.cleanup()).orphan_objects).toEqual([{ storage: "disk", key: stranger, size_bytes: 2 }]);
    await at.installation.ok("delete", id, "--force");
    const left = await at.installation.files("disk");
    expect(left).toContain(stranger);
    expect(left).not.toContain(result);
  });

  test("a truncated copy is adopted as damaged, with an alert, and filled from the other copy", async () => {
    await using at = await brieflyKept(postgres);
    const id = await at.backup(0);
    const disk = join(at.installation.directory, "disk");
    const object = (await at.installation.files("disk")).find((file) => !file.endsWith(".json")) as string;
    await truncate(join(disk, object), 100);
    await rm(join(at.installation.directory, "state"), { recursive: true });
    expect(await at.cleanup("--adopt")).toMatchObject({ exitCode: 0, adopted: 1, orphans: [] });
    expect(await at.states(id)).toBe("disk:DAMAGED r2:CONFIRMED");
    expect(await at.openAlerts()).toContainEqual(
      expect.objectContaining({ key: expect.stringMatching(/^verify main\/\S+ disk$/), resolved_at: null }),
    );
    await at.installation.ok("repair");
    expect(await at.states(id)).toBe("disk:CONFIRMED r2:CONFIRMED");
  });

  test("a lost catalog is rebuilt from the storages and the identity, even without the signing key", async () => {
    await using at = await brieflyKept(postgres);
    const { installation } = at;
    const ids = [await at.backup(0), await at.backup(0)];
    await at.lose("r2", ids[0] as string);
    const [{ database }] = (await installation.ok("list", "--json")).json.backups;
    const key = join(installation.directory, "signing.key");
    const forgetEverything = () => rm(join(installation.directory, "state"), { recursive: true });

    // Without key and identity the owner is unknown: this is a new installation, to which these places and backups do not belong.
    await forgetEverything();
    for (const file of [key, installation.identityFile]) await rename(file, `${file}.kept`);
    await writeFile(installation.identityFile, (await generateIdentity()).identity.reveal());
    expect(await at.cleanup("--adopt")).toMatchObject({
      exitCode: 3,
      adopted: 0,
      errors: [
        { storage: "disk", error: expect.stringContaining("belongs to another installation") },
        { storage: "r2", error: expect.stringContaining("belongs to another installation") },
      ],
    });
    await forgetEverything();
    await rename(`${installation.identityFile}.kept`, installation.identityFile);
    expect(await at.cleanup("--adopt")).toMatchObject({ exitCode: 0, adopted: 3, orphans: [] });
    await rename(`${key}.kept`, key);

    const listed = (await installation.ok("list", "--json")).json.backups;
    expect(listed.map(({ id }: { id: string }) => id).toSorted()).toEqual(ids.toSorted());
    const repaired = (await installation.ok("repair", "--json")).json.copies;
    expect(repaired).toMatchObject([{ backup_id: ids[0], storage: "r2", outcome: "filled" }]);
    await installation.ok("verify", "--all");
    const target = `${database}_back`;
    postgres.dropAtEnd(target);
    await installation.ok("restore", "latest", "-d", database, "--target", `main/${target}`, "--create");
    await installation.ok("backup");
  });

  test("only old multipart uploads under the prefix are aborted", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket();
    await using at = await retained(postgres, { storages: ["r2"], buckets: { r2: bucket } });
    const [ended, underWay] = [await at.backup(0), await at.backup(0)];
    const [left, growing] = [await keyOf(at, ended), await keyOf(at, underWay)];
    // An upload of another installation with the same prefix, and one of another program outside it.
    const theirs = ["other/theirs", "pg321/main/app/backup_app_20261101_020000_0123abcd.dump.zst.enc"];
    for (const Key of [left, growing, ...theirs])
      await lab.client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
    expect(await at.cleanup()).toMatchObject({ exitCode: 0, multipart_uploads_aborted: 0 });
    // Eight days later: the clock is not trusted, so a confirmation is needed too.
    await using context = await contextAhead(at, 8 * 24);
    const { catalog, clock, signal, host, pid } = context;
    const database = (await catalog.backup(underWay))?.database ?? "";
    const request = { name: leaseName("main", database), runId: crypto.randomUUID(), host, pid };
    await using _held = await holdLease(catalog, request, { clock, signal });
    await catalog.updateCopy(underWay, "r2", { state: "INTENDED" });
    const doubted = await runCleanup(context, {});
    expect(doubted.statistics).toMatchObject({ clock_suspected: true, multipart_uploads_aborted: 0 });
    const { statistics } = await runCleanup(context, { confirm: doubted.statistics.plan_hash ?? "" });
    expect(statistics.multipart_uploads_aborted).toBe(1);
    const { Uploads = [] } = await lab.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    expect(Uploads.map(({ Key }) => Key ?? "").toSorted()).toEqual([growing, ...theirs].toSorted());
  });

  async function keyOf(at: Retained, id: string): Promise<string> {
    return `pg321/${(await at.record(id))?.object_key}`;
  }
});

describe("by hand", () => {
  test("a dry run lists each copy and changes nothing", async () => {
    await using at = await brieflyKept(postgres);
    const old = await at.backup(2);
    await at.backup(0);
    const before = await Bun.file(join(at.installation.directory, "state/catalog.db")).bytes();
    const text = (await at.installation.ok("cleanup", "--dry-run")).stdout;
    const { decisions, run_id } = await at.cleanup("--dry-run");
    expect(run_id).toBeNull();
    expect(decisions.map(({ action }: { action: string }) => action).toSorted()).toEqual([
      "expire",
      "expire",
      "keep",
      "keep",
    ]);
    // Without the age, which has grown since.
    for (const { reason } of decisions) expect(text).toContain(reason.split(" (")[0]);
    expect(await at.states(old)).toBe("disk:CONFIRMED r2:CONFIRMED");
    expect(await withCatalog(at.installation, (catalog) => catalog.runs({ job: "cleanup" }))).toEqual([]);
    expect(await Bun.file(join(at.installation.directory, "state/catalog.db")).bytes()).toEqual(before);
  });

  test("a dry run of very many copies lists each, in one JSON object and in one table, even to a reader that stops early", async () => {
    await using at = await retained(postgres);
    const { installation } = at;
    const id = await at.backup(0);
    const count = 2000;
    {
      using catalog = new Database(join(installation.directory, "state/catalog.db"));
      const names = (table: string, change: Record<string, string>) =>
        catalog
          .query<{ name: string }, []>(`SELECT name FROM pragma_table_info('${table}')`)
          .all()
          .map(({ name }) => change[name] ?? `t.${name}`);
      const numbers = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})`;
      const made = "printf('%08x-0000-4000-8000-000000000000', i)";
      const started_at = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', printf('-%d hours', i))";
      const database = "'database-' || i % 7";
      for (const [table, change] of [
        ["backups", { id: made, database, started_at }],
        ["copies", { backup_id: made }],
      ] as const)
        catalog.run(
          `${numbers} INSERT INTO ${table} SELECT ${names(table, change)} FROM ${table} t, n
             WHERE ${table === "backups" ? "t.id" : "t.backup_id"} = ?`,
          [id],
        );
    }
    const { decisions, storages, ...rest } = await at.cleanup("--dry-run");
    expect(rest).toMatchObject({ exitCode: 0, run_id: null, orphan_objects: [] });
    expect(new Set(decisions.map((one: { backup_id: string }) => one.backup_id)).size).toBe(count + 1);
    const waits = decisions.filter(({ suspended }: { suspended: boolean }) => suspended);
    expect(waits.length).toBeGreaterThan(1000);
    expect(storages.disk).toMatchObject({ expired: 0, held: waits.length });
    const lines = (await installation.ok("cleanup", "--dry-run")).stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^ID +DATABASE +STORAGE +ACTION +REASON$/);
    const column = lines[0]?.indexOf("REASON") ?? 0;
    for (const [index, { reason }] of decisions.entries())
      expect(lines[index + 1]?.slice(column)).toStartWith(reason.split(" (")[0]);
    expect(lines.at(-1)).toContain(rest.plan_hash);

    const reader = installation.start("cleanup", "--dry-run", "--json");
    const output = reader.stdout.getReader();
    await output.read();
    await output.cancel();
    expect(await new Response(reader.stderr).text()).toBe("");
    expect(await reader.exited).toBe(0);
  });

  test("a hold protects a backup from cleanup and delete until it ends", async () => {
    await using at = await retained(postgres, { settings: BRIEFLY });
    const old = await at.backup(2);
    await at.backup(0);
    const { installation } = at;
    expect((await installation.run("hold", old, "--until", "2001-01-01")).exitCode).toBe(2);
    await installation.ok("hold", old, "--until", "2099-12-31");
    const { storages, decisions } = await at.cleanup();
    expect(storages.disk).toMatchObject({ expired: 0, deleted: 0, held: 1 });
    expect(decisions.find((one: { backup_id: string }) => one.backup_id === old)).toMatchObject({
      guard: "held",
    });
    const refused = await installation.run("delete", old);
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("unhold") });
    await installation.ok("unhold", old);
    await installation.ok("delete", old);
    expect(await at.objects("disk", old)).toEqual([]);
    expect((await installation.ok("list", "--removed", "--json")).json.removed).toMatchObject([
      { backup_id: old, removed_by: "delete", was_good: true },
    ]);
  });

  test("delete refuses the newest good backup without --force", async () => {
    await using at = await retained(postgres);
    const id = await at.backup(0);
    const refused = await at.installation.run("delete", id);
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("--force") });
    expect(await at.objects("disk", id)).toHaveLength(2);
    await at.installation.ok("delete", id, "--force");
    expect(await keysIn({ name: "disk", directory: join(at.installation.directory, "disk") })).toEqual([]);
  });

  test("forget deletes only the one database, after its name was typed again", async () => {
    const databases = [await postgres.createDatabase(), await postgres.createDatabase()] as const;
    await using at = await retained(postgres, { databases });
    await at.installation.ok("backup");
    await at.installation.ok("backup");
    const { installation } = at;
    const all = await installation.files("disk");
    for (const words of [
      [databases[0]],
      [databases[0], "--yes", databases[1]],
      ["nowhere", "--yes", "nowhere"],
    ])
      expect((await installation.run("forget", ...words)).exitCode).toBe(2);
    expect(await installation.files("disk")).toEqual(all);
    const { json, stderr } = await installation.ok("forget", databases[0], "--yes", databases[0], "--json");
    expect(stderr).toContain(`main/${databases[0]}: 2 backups`);
    expect(json.records_deleted).toBe(2);
    const left = await installation.files("disk");
    expect(left).toHaveLength(4);
    for (const file of left) expect(file).toStartWith(`main/${databases[1]}/`);
    const backups = (await installation.ok("list", "--json")).json.backups;
    expect(backups.map(({ database }: { database: string }) => database)).toEqual([
      databases[1],
      databases[1],
    ]);
  });
});
