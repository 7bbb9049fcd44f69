import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DeleteObjectCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import type { Sql } from "postgres";
import { DAY_MS } from "../../../src/base/limits.ts";
import type { BackupRecord } from "../../../src/catalog/records.ts";
import type { Finding } from "../../../src/doctor/finding.ts";
import { noteUnfencedWrites } from "../../lab/data/unfenced-writes.ts";
import { diskOf, stopped, TwoHosts } from "../../lab/machine/two-hosts.ts";
import { rgw, type S3Lab } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import {
  alertRecord,
  backupRecord,
  copyRecord,
  deliveryRecord,
  ELSEWHERE,
  runRecord,
  tombstoneOf,
} from "../../suites/catalog/records.ts";

setDefaultTimeout(120_000);

/**
 * Host A keeps a day and prunes at once, host B keeps a year. Both have a bucket in common, and a disk of their own. B is
 * in every state in which a job of A could take something of B's for its own.
 */

const postgres = usePostgres();
let s3: S3Lab;
let hosts: TwoHosts;
let sql: Sql;
let unfenced: () => Promise<string[]>;
let [first, second]: string[] = [];

beforeAll(async () => {
  s3 = await rgw();
  [first, second] = [await postgres.createDatabase(), await postgres.createDatabase()];
  const bucket = await s3.makeBucket();
  const often = '[cleanup]\nhistory = "30d"\ntombstones = "30d"\n[guard]\nkeep = 1\n';
  hosts = await TwoHosts.make(postgres, s3, bucket, {
    a: { server: "main", databases: [String(first)], days: 1, more: often },
    b: {
      server: "shop",
      databases: [String(second)],
      days: 365,
      more: '[[notify]]\nname = "b-only"\ntype = "webhook"\nurl = "http://127.0.0.1:9/"\n',
    },
  });
  sql = postgres.connect(new URL(hosts.url).pathname.slice(1));
});
afterAll(() => hosts?.[Symbol.asyncDispose]());

/** Every row of the catalog in which one of the words stands, as text. */
async function rowsWith(words: readonly string[]): Promise<string[]> {
  const tables = await sql<{ name: string }[]>`
    select table_name as name from information_schema.tables where table_schema = 'pg321' order by 1`;
  const rows: string[] = [];
  for (const { name } of tables)
    for (const row of await sql.unsafe(`select row_to_json(one)::text as text from pg321.${name} as one`))
      if (words.some((word) => row["text"].includes(word))) rows.push(`${name} ${row["text"]}`);
  return rows.sort();
}

async function objectsOf(server: string, disk: string): Promise<string[]> {
  const { Contents = [] } = await s3.client.send(new ListObjectsV2Command({ Bucket: hosts.bucket }));
  const stored = Contents.filter(({ Key = "" }) => Key.includes(`/${server}/`));
  const files = (await readdir(disk, { recursive: true })).map(
    async (file) => `${file} ${(await stat(join(disk, file))).mtimeMs}`,
  );
  return [...stored.map(({ Key, ETag }) => `${Key} ${ETag}`), ...(await Promise.all(files))].sort();
}

/** Dates a backup back, as if it were made that many days ago. */
async function age(id: string, days: number): Promise<void> {
  const at = new Date(Date.now() - days * DAY_MS).toISOString();
  await sql`update pg321.backups set started_at = ${at}, finished_at = ${at} where id = ${id}`;
  // Retention reads this one.
  await sql`update pg321.retained_backups set started_at = ${at} where id = ${id}`;
}

/** What killed, failed and half-done work of host B has left. Returns the ids of its records. */
async function leaveWorkOf(b: string, good: BackupRecord): Promise<string[]> {
  await using catalog = await hosts.catalog();
  const old = new Date(Date.now() - 400 * DAY_MS).toISOString();
  const process = { ...ELSEWHERE, host: b };
  const [server, database] = ["shop", String(second)];
  const of = { server, database, host: b, installation: good.installation, started_at: old };
  const running = backupRecord({
    ...of,
    object_key: `shop/${database}/backup_${database}_20250101_000000_00000000.dump`,
  });
  const failed = backupRecord({ ...of, status: "FAILED", finished_at: old, object_key: "shop/x/failed" });
  const leaving = backupRecord({
    ...of,
    status: "VERIFIED",
    finished_at: old,
    manifest: "{}",
    object_key: "shop/x/leaving",
  });
  for (const backup of [running, failed, leaving]) await catalog.insertBackup(backup);
  for (const storage of ["disk-b", "s3"]) {
    await catalog.putCopy(copyRecord(running, { storage, state: "INTENDED" }));
    await catalog.putCopy(copyRecord(leaving, { storage, state: "DELETING" }));
  }
  const run = runRecord({ ...process, started_at: old });
  const ended = runRecord({
    ...process,
    job: "verify",
    outcome: "OK",
    started_at: old,
    finished_at: old,
    schedule: "verify",
  });
  for (const one of [run, ended]) await catalog.insertRun(one);
  for (const name of [`run ${run.id}`, `shop/${database}`])
    await catalog.acquireLease(
      { ...process, name, run_id: run.id, acquired_at: old, expires_at: old },
      old,
      () => "unseen",
    );
  const scope = { host: b, isShared: () => false };
  const alerts = [
    alertRecord({ key: "backup", server: null, database: null, run_id: run.id }),
    alertRecord({
      key: "storage s3",
      job: "cleanup",
      server: null,
      database: null,
      metadata: { storage: "s3" },
    }),
    alertRecord({ key: `gone shop/${database}`, server, database }),
    alertRecord({ key: "hook shop/old", server, database, resolved_at: old, created_at: old }),
  ];
  const notices = alerts.map(({ id }) => deliveryRecord({ alert_id: id, notifier: "b-only" }));
  // History that is old enough to be pruned, once no notice is about it.
  alerts.push(
    alertRecord({ key: "verify", server: null, database: null, resolved_at: old, created_at: old }),
  );
  for (const [index, alert] of alerts.entries())
    await catalog.changeAlert(
      alert.key,
      () => ({ alert, deliveries: notices.slice(index, index + 1) }),
      scope,
    );
  for (let count = 0; count < 2; count++)
    await catalog.restoreTests.add({
      ...{ id: crypto.randomUUID(), run_id: null, prover: null, backup_id: good.id, server, database },
      ...{ backup_started_at: old, storage: "s3", target: "throwaway", outcome: "PASSED" },
      ...{ started_at: old, finished_at: old, fetch_ms: null, restore_ms: null, check_ms: null },
      ...{ dump_bytes: null, checks: [], error: null },
    });
  const removed = backupRecord(of);
  await catalog.insertBackup(removed);
  await catalog.removeBackup(tombstoneOf(removed, { removed_at: old }));
  await catalog.scratchDatabases.add({
    ...{ id: crypto.randomUUID(), run_id: run.id, server: "test server of b", name: "test_restore_b" },
    ...{ oid: 1, comment: "b's", role: null, is_made: true, created_at: old },
  });
  return [running.id, failed.id, leaving.id, removed.id, run.id, ended.id, ...alerts.map(({ id }) => id)];
}

/** Verification needs no lease, and neither do records of backups without copies, which cleanup removes. */
async function expectFenced(job: string): Promise<void> {
  const writes = (await unfenced()).filter(
    (what) => !(job.startsWith("cleanup") && what.endsWith(" delete")),
  );
  if (!job.startsWith("verify")) expect([job, ...writes]).toEqual([job]);
}

test("no job on one host changes anything of the other's, and each keeps its own rules", async () => {
  const { a, b } = hosts;
  const daemons = await Promise.all([hosts.daemon(a), hosts.daemon(b)]);
  const again = await a.run("run");
  expect([again.exitCode, again.stderr]).toEqual([11, expect.stringContaining("daemon a: held by run ")]);
  for (const daemon of daemons) await stopped(daemon);

  const ids: Record<"a" | "b", string[]> = { a: [], b: [] };
  for (let round = 0; round < 2; round++) {
    ids.a.push(await a.backUp());
    ids.b.push(await b.backUp());
  }
  await age(String(ids.a[0]), 10);
  await age(String(ids.b[0]), 10);
  await using catalog = await hosts.catalog();
  const good = (await catalog.backup(String(ids.b[0]))) as BackupRecord;
  // Found by verify, and filled by repair, if a job takes them for its own.
  await s3.client.send(new DeleteObjectCommand({ Bucket: hosts.bucket, Key: `pg321/${good.object_key}` }));
  await rm(join(diskOf(b, "disk-b"), String((await catalog.backup(String(ids.b[1])))?.object_key)));
  const words = ["shop", "disk-b", "test_restore_b", '"b"', ...ids.b, ...(await leaveWorkOf("b", good))];
  const before = { rows: await rowsWith(words), objects: await objectsOf("shop", diskOf(b, "disk-b")) };
  expect(before.rows.length).toBeGreaterThan(30);

  unfenced = await noteUnfencedWrites(sql);
  const exits: Record<string, number> = {};
  const jobs = [
    "cleanup",
    "verify --all",
    "verify",
    "repair",
    "restore-test",
    "cleanup --dry-run",
    "cleanup --adopt",
    "backup",
    "status",
    "doctor",
  ];
  for (const job of jobs) {
    const { exitCode, stdout, stderr } = await a.run(...job.split(" "));
    exits[job] = exitCode;
    await expectFenced(job);
    if (job !== "doctor") expect(`${job}: ${stdout}${stderr}`).not.toMatch(/shop|disk-b/);
  }
  expect(exits).toEqual(Object.fromEntries(jobs.map((job) => [job, 0])));
  await stopped(await hosts.daemon(a));
  expect(await rowsWith(words)).toEqual(before.rows);
  expect(await objectsOf("shop", diskOf(b, "disk-b"))).toEqual(before.objects);
  // It did its own work: the old backup is expired.
  expect(await catalog.backup(String(ids.a[0]))).toBeUndefined();
  expect((await catalog.backup(String(ids.a[1])))?.status).toBe("VERIFIED");
  await a.ok("delete", String(ids.a[1]));
  await expectFenced("delete");
});

test("the host itself settles, finds and fills what is its own", async () => {
  const { b } = hosts;
  await b.run("verify", "--all");
  await unfenced();
  await b.ok("repair");
  await expectFenced("repair");
  await b.run("cleanup");
  await expectFenced("cleanup");
  await using catalog = await hosts.catalog();
  for (const state of ["INTENDED", "DELETING", "MISSING", "DAMAGED"] as const)
    expect(await catalog.copiesInState(state)).toEqual([]);
  expect(await catalog.backups({ status: ["RUNNING"] })).toEqual([]);
  expect(await catalog.runs({ outcome: "RUNNING" })).toEqual([]);
  expect(await catalog.backups({ server: "shop", status: ["VERIFIED"] })).toHaveLength(2);
});

test("each host has its own recovery kit and its own export", async () => {
  const { a, b } = hosts;
  const phrase = join(a.directory, "passphrase");
  await writeFile(phrase, "a passphrase that is long enough\n", { mode: 0o600 });
  for (const host of [a, b]) {
    await host.ok("recovery-kit", join(host.directory, "kit"));
    await host.ok("export-keys", join(host.directory, "host.age"), "--passphrase-file", phrase);
  }
  // Those of the other are newer.
  const { recovery_kit } = (await a.run("status", "--json")).json as { recovery_kit: object };
  expect(recovery_kit).toMatchObject({ is_current: true });
  const { findings } = (await a.run("doctor", "--json")).json as { findings: Finding[] };
  const own = findings.filter(({ subject }) => /^(recovery-kit|export-keys)$/.test(subject ?? ""));
  expect(own.map(({ verdict }) => verdict)).toEqual(["ok", "ok"]);
});

test("a catalog that one host has rebuilt keeps the other's backups, although nobody has recorded whose they are", async () => {
  const { a } = hosts;
  await sql.unsafe("drop schema pg321 cascade");
  // As docs/recovery.md says: a host that knows the lost catalog begins no new one in its place.
  for (const file of ["spool.db", "spool.db-wal", "spool.db-shm"])
    await rm(join(a.directory, "state", file), { force: true });
  await a.ok("cleanup", "--adopt");
  const adopted = await sql<{ id: string; host: string | null }[]>`
    select id, host from pg321.backups where server = 'shop' order by started_at`;
  expect(adopted.map(({ host }) => host)).toEqual([null, null]);
  await age(String(adopted[0]?.id), 10);
  await age(String(adopted[1]?.id), 9);
  const before = await objectsOf("shop", diskOf(hosts.b, "disk-b"));
  await a.ok("cleanup");
  expect(await objectsOf("shop", diskOf(hosts.b, "disk-b"))).toEqual(before);
  expect(await sql`select id from pg321.backups where server = 'shop'`).toHaveLength(2);
});
