import { expect, setDefaultTimeout, test } from "bun:test";
import { DeleteObjectCommand, ListObjectVersionsCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { DAY_MS } from "../../../src/base/limits.ts";
import { fillNoiseDatabase } from "../../lab/data/noise-database.ts";
import { lockDays, locked } from "../../lab/locking.ts";
import type { Retained } from "../../lab/retained.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** A locked copy that somebody has overwritten: the key of an attacker may write, but not delete what is locked. */

setDefaultTimeout(60_000);
const postgres = usePostgres();

/** Puts garbage above the object or the manifest of a backup, as a newer version. */
async function overwrite(at: Retained, bucket: string, key: string, isLocked = false): Promise<void> {
  const { client } = await rgw();
  const lock = {
    ObjectLockMode: "GOVERNANCE",
    ObjectLockRetainUntilDate: new Date(Date.now() + DAY_MS),
  } as const;
  await client.send(
    new PutObjectCommand({ Bucket: bucket, Key: `pg321/${key}`, Body: "garbage", ...(isLocked && lock) }),
  );
  await at.installation.run("verify", "--all");
}

async function versions(bucket: string, key: string): Promise<number> {
  const { client } = await rgw();
  const { Versions = [] } = await client.send(
    new ListObjectVersionsCommand({ Bucket: bucket, Prefix: `pg321/${key}` }),
  );
  return Versions.filter(({ Key }) => Key === `pg321/${key}`).length;
}

test.each([
  ["an object in parts", 0, false],
  ["an object, by one that is locked itself", 0, true],
  ["a manifest, by one that is locked itself", 1, true],
] as const)("overwritten by garbage: %s is brought back above it", async (what, which, isLocked) => {
  const database = await postgres.createDatabase();
  if (what.includes("parts")) await fillNoiseDatabase(postgres.connect(database), 14);
  const { at, bucket } = await locked(postgres, { databases: [database] });
  await using _ = at;
  const id = await at.backup(0);
  const key = (await at.objects("r2", id))[which] ?? "";
  await overwrite(at, bucket, key, isLocked);
  expect(await at.states(id)).toBe("disk:CONFIRMED r2:DAMAGED");
  const { exitCode, json } = await at.installation.run("repair", "--json");
  expect({ exitCode, copies: json.copies }).toMatchObject({
    exitCode: 0,
    copies: [{ storage: "r2", outcome: "filled" }],
  });
  if (which === 0) expect(json.copies[0].note).toMatch(/^the old object is locked until 20/);
  expect(await at.states(id)).toBe("disk:CONFIRMED r2:CONFIRMED");
  await at.installation.ok("verify", id);
  expect(await lockDays(at, bucket, id)).toEqual([expect.closeTo(3, 1), expect.closeTo(3, 1)]);
  // Nothing was removed.
  expect(await versions(bucket, key)).toBe(3);
  expect(await at.openAlerts()).toEqual([]);
});

test.each(["overwritten", "hidden"])(
  "%s, and no other copy is good: the locked version comes back from the bucket itself",
  async (how) => {
    const { at, bucket } = await locked(postgres);
    await using _ = at;
    const id = await at.backup(0);
    const [object = "", manifest = ""] = await at.objects("r2", id);
    await at.lose("disk", id);
    if (how === "overwritten") await overwrite(at, bucket, object);
    else {
      const { client } = await rgw();
      for (const key of [object, manifest])
        await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `pg321/${key}` }));
      await at.installation.run("verify", "--all");
    }
    expect(await at.states(id)).toBe(`disk:MISSING r2:${how === "hidden" ? "MISSING" : "DAMAGED"}`);
    await at.installation.run("repair");
    // The other storages are filled from it.
    await at.installation.ok("repair");
    expect(await at.states(id)).toBe("disk:CONFIRMED r2:CONFIRMED");
    await at.installation.ok("verify", id);
    expect(await lockDays(at, bucket, id)).toEqual([expect.closeTo(3, 1), expect.closeTo(3, 1)]);
  },
);
