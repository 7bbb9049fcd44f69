import { expect, test } from "bun:test";
import { compareDatabases } from "../../lab/data/compare-databases.ts";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { rgw, swift } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();

test("one read into a directory, Ceph RGW and Swift; each copy restores to exactly the source", async () => {
  const database = await postgres.createDatabase();
  await fillSampleDatabase(postgres.connect(database), 0.2);
  const [r2, b2] = [await rgw(), await swift()];
  const buckets = [await r2.makeBucket(), await b2.makeBucket()] as const;
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [
      localStorage("disk", directory),
      s3Storage("r2", r2, buckets[0]),
      s3Storage("b2", b2, buckets[1]),
    ],
  });

  const [backup] = (await installation.ok("backup", "--json")).json.backups;
  expect(backup.status).toBe("VERIFIED");
  expect(backup.copies.map((copy: { storage: string; state: string }) => [copy.storage, copy.state])).toEqual(
    [
      ["b2", "CONFIRMED"],
      ["disk", "CONFIRMED"],
      ["r2", "CONFIRMED"],
    ],
  );

  const verdicts = (await installation.ok("verify", "--all", "--json")).json.copies;
  expect(
    verdicts.map((verdict: { verdict: string; segments_checked: boolean }) => [
      verdict.verdict,
      verdict.segments_checked,
    ]),
  ).toEqual([
    ["good", true],
    ["good", true],
    ["good", true],
  ]);

  for (const storage of ["disk", "r2", "b2"]) {
    const restored = `${database}_from_${storage}`;
    postgres.dropAtEnd(restored);
    await installation.ok(
      "restore",
      backup.backup_id,
      "--target",
      `main/${restored}`,
      "--create",
      "--from",
      storage,
    );
    const { differences, summary } = await compareDatabases(
      postgres.connect(database),
      postgres.connect(restored),
    );
    expect(differences).toEqual([]);
    expect(summary.rows).toBeGreaterThan(10_000);
  }
}, 180_000);
