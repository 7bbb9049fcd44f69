import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { DAY_MS } from "../../../src/base/limits.ts";
import { fillNoiseDatabase } from "../../lab/data/noise-database.ts";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { LocalCopies } from "../../lab/local-copies.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** A storage that is added later gets the past, and `repair --dry-run` shows it first. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
const KEPT = { "keep.monthly": 12, "keep.yearly": 10 };
/** Begun 400, 40 and 0 days ago. */
let ids: string[] = [];

const configure = (...more: string[]) =>
  installation.configure({ storages: (directory) => [localStorage("a", directory, KEPT), ...more] });

beforeAll(async () => {
  const source = await postgres.createDatabase();
  await fillNoiseDatabase(postgres.connect(source), 2);
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("a", directory, KEPT)],
  });
  ids = [];
  for (const _ of [400, 40, 0]) ids.push(await installation.backUp());
  using catalog = new Database(join(installation.directory, "state/catalog.db"));
  for (const [index, days] of [400, 40].entries()) {
    const started_at = new Date(Date.now() - days * DAY_MS).toISOString();
    catalog.run("update backups set started_at = ? where id = ?", [started_at, ids[index] ?? ""]);
  }
});
afterAll(() => installation[Symbol.asyncDispose]());

async function dryRun() {
  const { exitCode, json } = await installation.run("repair", "--dry-run", "--json");
  return { exitCode, dry_run: json.dry_run, copies: json.copies };
}
const plannedIds = async () => (await dryRun()).copies.map((one: { backup_id: string }) => one.backup_id);
/** Everything that a run records. */
const records = () => {
  using catalog = new Database(join(installation.directory, "state/catalog.db"));
  return ["runs", "alerts", "copies", "storage_identities"].map((name) =>
    catalog.query(`select * from ${name}`).all(),
  );
};

test("each backfill gives a new storage its share of the past; a dry run changes nothing", async () => {
  const [oldest = "", old = "", newest = ""] = ids;
  const later = (more: Record<string, string | number>) =>
    configure(localStorage("b", installation.directory, { "keep.yearly": 10, ...more }));
  await later({});
  const before = records();
  expect(await plannedIds()).toEqual([newest]);
  await later({ backfill: "newest" });
  expect(await plannedIds()).toEqual([newest]);
  await later({ backfill: "90d", "keep.monthly": 12 });
  expect(await plannedIds()).toEqual([newest, old]);
  await later({ backfill: "all", "keep.monthly": 12 });
  expect(await plannedIds()).toEqual([newest, old, oldest]);
  expect(await installation.files("b")).toEqual([]);
  expect(records()).toEqual(before);

  expect((await installation.ok("repair", "--json")).json.copies).toHaveLength(3);
  expect(await dryRun()).toEqual({ exitCode: 0, dry_run: true, copies: [] });
  // What was filled also survives the next cleanup.
  await installation.ok("cleanup");
  expect((await installation.files("b")).filter((name) => !name.endsWith(".json"))).toHaveLength(3);
});

test("a bucket with a rate_limit is filled, read back, and shown as a charged source", async () => {
  const lab = await rgw();
  const bucket = await lab.makeBucket();
  await configure(
    s3Storage("cloud", lab, bucket, { backfill: "newest", rate_limit: "4MiB/s", "keep.yearly": 10 }),
  );
  const newest = ids[2] ?? "";
  const { copies } = await dryRun();
  expect(copies).toMatchObject([
    { backup_id: newest, storage: "cloud", from: "a", state: null, may_be_charged: false },
  ]);
  expect((await installation.ok("repair", "--json")).json.copies).toMatchObject([{ outcome: "filled" }]);
  expect((await installation.ok("verify", newest, "--json")).json.copies).toMatchObject([
    { storage: "a", verdict: "good" },
    { storage: "cloud", verdict: "good" },
  ]);

  const at = new LocalCopies(installation, newest);
  at.remove(at.object("a"));
  expect((await installation.run("verify", newest, "--storage", "a")).exitCode).toBe(14);
  const planned = await dryRun();
  expect(planned).toMatchObject({
    exitCode: 0,
    copies: [{ storage: "a", from: "cloud", state: "MISSING", may_be_charged: true }],
  });
  const { stdout } = await installation.ok("repair", "--dry-run");
  expect(stdout).toContain("would fill 1 copy, ");
  expect(stdout).toContain("a provider may charge for reading ");
  expect((await installation.ok("repair", "--json")).json.copies).toMatchObject([
    { storage: "a", outcome: "filled" },
  ]);
});

test("a dry run names the copies that nothing can fill, and ends with exit 3", async () => {
  const oldest = new LocalCopies(installation, ids[0] ?? "");
  oldest.remove(oldest.object("a"));
  await configure();
  expect((await installation.run("verify", ids[0] ?? "", "--storage", "a")).exitCode).toBe(14);
  expect(await dryRun()).toMatchObject({ exitCode: 3, copies: [{ storage: "a", from: null }] });
  const { stdout, exitCode } = await installation.run("repair", "--dry-run");
  expect({ exitCode, stdout }).toMatchObject({ exitCode: 3 });
  expect(stdout).toContain("1 copy has no good copy to be filled from");
});
