import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
} from "@aws-sdk/client-s3";
import { DAY_MS } from "../../../src/base/limits.ts";
import { timeText } from "../../../src/base/text/zoned-time.ts";
import { fillNoiseDatabase } from "../../lab/data/noise-database.ts";
import { withCatalog } from "../../lab/leftovers.ts";
import { copyIn, LOCK, lockDays, locked } from "../../lab/locking.ts";
import type { Retained } from "../../lab/retained.ts";
import { holdAt, isManifest, pathOf } from "../../lab/servers/held-requests.ts";
import { type ProxiedRequest, startHttpProxy } from "../../lab/servers/http-proxy.ts";
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

describe("a run that is killed", () => {
  /** Kills a backup at a request to the bucket, then makes a second one; returns the first. */
  const killedAt = async (isIt: (request: ProxiedRequest) => boolean) => {
    await using stack = new AsyncDisposableStack();
    const proxy = stack.use(startHttpProxy((await rgw()).endpoint));
    const settings = { r2: { ...LOCK, endpoint: proxy.endpoint } };
    const { at, bucket } = await locked(postgres, { settings });
    stack.use(at);
    const isHeld = holdAt(proxy, "before", isIt);
    const running = at.installation.start("backup");
    while (!isHeld()) await new Promise((resolve) => setTimeout(resolve, 5));
    running.kill("SIGKILL");
    await running.exited;
    const [{ id }] = (await at.installation.ok("list", "--json")).json.backups;
    const next = await at.backup(0);
    const copies = { killed: await copyIn(at, "r2", id), next: await copyIn(at, "r2", next) };
    const locks = await lockDays(at, bucket, id);
    return { ...copies, locks, at, bucket, id, stack: stack.move() };
  };

  test("before its manifest is written leaves a copy that the next run completes and locks", async () => {
    const { killed, next, locks, stack } = await killedAt(isManifest);
    await using _ = stack;
    expect(locks).toEqual([expect.closeTo(3, 1), expect.closeTo(3, 1)]);
    expect(killed).toMatchObject({ state: "CONFIRMED", lock_mode: "governance", lock_error: null });
    expect(next).toMatchObject({ state: "CONFIRMED", lock_mode: "governance" });
  });

  test("before its object is confirmed leaves locked remains, which harm no later backup", async () => {
    let isStored = false;
    const { killed, next, locks, at, bucket, id, stack } = await killedAt((request) => {
      const isObject = pathOf(request).endsWith(".enc");
      if (isStored) return request.method === "HEAD" && isObject;
      isStored = request.method === "PUT" && isObject;
      return false;
    });
    expect(locks).toEqual([expect.closeTo(3, 1)]);
    await using _ = stack;
    const until = killed?.locked_until ?? "";
    expect((Date.parse(until) - Date.now()) / DAY_MS).toBeCloseTo(3, 1);
    const error = `the remains of an unfinished copy are locked until ${timeText(until)}; they are removed then`;
    expect(killed).toMatchObject({ state: "INTENDED", error });
    expect(next).toMatchObject({ state: "CONFIRMED", lock_mode: "governance" });
    const cleaned = await at.cleanup();
    expect(cleaned).toMatchObject({ exitCode: 0, errors: [] });
    expect(cleaned.notes).toContainEqual(expect.objectContaining({ storage: "r2", note: error }));
    const storages = (await at.installation.run("status", "--json")).json.storages;
    expect(storages).toContainEqual(expect.objectContaining({ name: "r2", locked_remains_until: until }));
    expect((await at.installation.run("status")).stdout).toContain(
      "remains of an interrupted backup are locked",
    );
    // Its lock ends: here the right to that makes it end sooner.
    const [Key = ""] = await at.objects("r2", id);
    const Retention = { Mode: "GOVERNANCE", RetainUntilDate: new Date(Date.now() + 1000) } as const;
    const { client } = await rgw();
    const ended = { Bucket: bucket, Key: `pg321/${Key}`, Retention, BypassGovernanceRetention: true };
    await client.send(new PutObjectRetentionCommand(ended));
    await withCatalog(at.installation, (catalog) =>
      catalog.updateCopy(id, "r2", { locked_until: new Date(0).toISOString() }),
    );
    while (new Date() <= Retention.RetainUntilDate) await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await at.cleanup()).notes).toEqual([]);
    expect(await copyIn(at, "r2", id)).toMatchObject({ state: "FAILED", locked_until: null });
    expect(await at.objects("r2", id)).toEqual([]);
  });
});
