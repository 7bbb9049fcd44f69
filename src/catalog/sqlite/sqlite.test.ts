import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backupRecord, ELSEWHERE } from "../../../test/suites/catalog/records.ts";
import { systemClock } from "../../base/clock.ts";
import { catalogError } from "./errors.ts";
import { fenced, takeLease } from "./fleet/leases.ts";
import { openSqlite } from "./sqlite.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-sqlite-"));
});
afterAll(() => rm(directory, { recursive: true }));

const open = (path: string) => openSqlite(path, systemClock);
const mode = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);
const failure = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error) => error,
  );

test("the files and a directory that it creates are private whatever the umask", async () => {
  const path = join(directory, "deep/er/catalog.db");
  const umask = process.umask(0);
  try {
    await using catalog = await open(path);
    await catalog.insertBackup(backupRecord());
    for (const file of [path, `${path}-wal`, `${path}-shm`]) expect(await mode(file)).toBe("600");
    expect(await mode(join(directory, "deep"))).toBe("700");
  } finally {
    process.umask(umask);
  }
});

test("an existing directory keeps its mode", async () => {
  const theirs = join(directory, "theirs");
  await mkdir(theirs);
  await chmod(theirs, 0o755);
  await using _catalog = await open(join(theirs, "catalog.db"));
  expect(await mode(theirs)).toBe("755");
});

test("readers do not wait for a writer: the catalog is in WAL mode", async () => {
  const path = join(directory, "wal.db");
  await using _catalog = await open(path);
  using database = new Database(path);
  expect(database.query("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
});

test("a file of another kind, a directory or an impossible path is refused with a hint", async () => {
  const text = join(directory, "text.db");
  await Bun.write(
    text,
    "this is a text file, and long enough to be looked at as a header of 100 bytes".repeat(20),
  );
  for (const [path, message] of [
    [text, "not a SQLite database"],
    [directory, "it is a directory"],
    [join(text, "catalog.db"), "not a directory"],
  ] as const) {
    const error = await failure(open(path));
    expect(error).toMatchObject({ code: "storage", hint: expect.any(String) });
    expect(error.message).toStartWith(`catalog ${path}: cannot open: `);
    expect(error.message).toContain(message);
  }
});

test("a damaged file is reported as damaged", async () => {
  const path = join(directory, "damaged.db");
  {
    await using catalog = await open(path);
    for (let i = 0; i < 200; i++) await catalog.insertBackup(backupRecord({ manifest: "x".repeat(2000) }));
  }
  const bytes = new Uint8Array(await Bun.file(path).arrayBuffer());
  // The schema, which opening reads, is in the first pages.
  bytes.fill(0xa5, bytes.length / 2);
  await Bun.write(path, bytes);
  await using catalog = await open(path);
  const error = await failure(catalog.backups({}));
  expect(error).toMatchObject({
    code: "storage",
    message: expect.stringContaining("damaged"),
    retryable: false,
  });
});

test("a full and a read-only catalog are reported as such", async () => {
  const path = join(directory, "full.db");
  await (await open(path))[Symbol.asyncDispose]();
  using full = new Database(path);
  full.run("PRAGMA max_page_count = 1");
  using readOnly = new Database(path, { readonly: true });
  for (const [database, what] of [
    [full, "the disk is full"],
    [readOnly, "the file cannot be written"],
  ] as const) {
    const error = await failure(
      (async () => database.run("CREATE TABLE filler AS SELECT zeroblob(100000)"))(),
    );
    expect(catalogError(path, "update runs", error)).toMatchObject({
      code: "storage",
      message: `catalog ${path}: cannot update runs: ${what}`,
      hint: expect.any(String),
    });
  }
});

test("a writer waits for another writer without blocking the event loop", async () => {
  const path = join(directory, "busy.db");
  await using catalog = await open(path);
  using other = new Database(path);
  other.run("BEGIN IMMEDIATE");
  const record = backupRecord();
  let ticks = 0;
  const ticking = setInterval(() => {
    // Far longer than SQLite's own wait; only then does the other writer let go.
    if (++ticks === 20) other.run("ROLLBACK");
  }, 5);
  await catalog.insertBackup(record);
  clearInterval(ticking);
  expect(ticks).toBeGreaterThanOrEqual(20);
  expect(await catalog.backup(record.id)).toEqual(record);
});

test("nobody takes a lease while a write under it is made", async () => {
  const path = join(directory, "fenced.db");
  await using catalog = await open(path);
  const lease = { ...ELSEWHERE, name: "main/app", acquired_at: "2026-01-01", expires_at: "2026-01-02" };
  await catalog.acquireLease({ ...lease, run_id: "first" }, "2026-01-01", () => "unseen");
  const fence = { name: lease.name, token: Number(await catalog.leaseToken(lease.name, "first")) };
  using one = new Database(path, { strict: true });
  using other = new Database(path, { strict: true });
  const next = () => takeLease(other, { ...lease, run_id: "next" }, () => false);
  fenced(one, fence, () => expect(next).toThrow("locked"));
  expect(next()).toBeUndefined();
});
