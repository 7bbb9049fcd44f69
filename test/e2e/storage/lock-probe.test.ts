import { describe, expect, test } from "bun:test";
import { PutObjectRetentionCommand } from "@aws-sdk/client-s3";
import type { Finding } from "../../../src/doctor/finding.ts";
import type { Place } from "../../lab/leftovers.ts";
import { keysIn, withCatalog } from "../../lab/leftovers.ts";
import { copyIn, LOCK, locked } from "../../lab/locking.ts";
import type { Retained } from "../../lab/retained.ts";
import { retained } from "../../lab/retained.ts";
import { deny, rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();

describe("doctor --probe-lock", () => {
  const probing = async (at: Retained) => {
    const { exitCode, json } = await at.installation.run("doctor", "--probe-lock", "--json");
    const findings = (json.findings as Finding[]).filter(({ subject }) => subject === "r2");
    return { exitCode, findings: findings.map(({ verdict, message }) => `${verdict} ${message}`) };
  };
  const probes = (at: Retained) => withCatalog(at.installation, ({ lockProbes }) => lockProbes.latest());
  const probeObjects = async (at: Retained) =>
    (await keysIn(at.places.get("r2") as Place)).filter((key) => key.includes("lock-probe"));

  test("is refused the deletion of a locked object, which the cleanup after its lock removes", async () => {
    const { at, bucket } = await locked(postgres);
    await using _ = at;
    const early = await probing(at);
    expect(early.findings.join("\n")).toContain("failed it has no marker yet, so nothing is written to it");
    await at.backup(0);
    const before = await at.installation.run("doctor", "--json");
    expect(before.json.findings).toContainEqual(
      expect.objectContaining({
        subject: "r2",
        verdict: "ok",
        message: "locks each copy for 3 days (governance)",
      }),
    );
    const { exitCode, findings } = await probing(at);
    expect(exitCode).toBe(0);
    expect(findings).toContainEqual(
      expect.stringMatching(/^ok refused to delete the probe object pg321-lock-probe_/),
    );
    expect(findings).toContainEqual(
      expect.stringMatching(
        /^ok locks each copy for 3 days \(governance\); refused to delete a probe object at 20/,
      ),
    );
    expect(await probes(at)).toMatchObject([{ storage: "r2", by: "lock", refused: true, removed_at: null }]);
    expect(await probeObjects(at)).toHaveLength(1);
    // It is neither an orphan nor removed before its time.
    expect(await at.cleanup()).toMatchObject({ exitCode: 0, orphans: [], errors: [] });
    const [probe] = await probes(at);
    const { client } = await rgw();
    const Key = `pg321/${probe?.object_key}`;
    const Retention = { Mode: "GOVERNANCE", RetainUntilDate: new Date(Date.now() + 1000) } as const;
    await client.send(
      new PutObjectRetentionCommand({ Bucket: bucket, Key, Retention, BypassGovernanceRetention: true }),
    );
    await withCatalog(at.installation, (catalog) =>
      catalog.lockProbes.update(probe?.id ?? "", { locked_until: new Date(0).toISOString() }),
    );
    for (let tries = 0; tries < 50 && (await probeObjects(at)).length > 0; tries++) {
      await at.cleanup();
      await withCatalog(at.installation, (catalog) =>
        catalog.lockProbes.update(probe?.id ?? "", { locked_until: new Date(0).toISOString() }),
      );
    }
    expect(await probeObjects(at)).toEqual([]);
    expect(await probes(at)).toMatchObject([{ refused: true, removed_at: expect.any(String) }]);
  });

  test("says so if a key cannot lock", async () => {
    const { at, bucket } = await locked(postgres);
    await using _ = at;
    await at.backup(0);
    await deny(await rgw(), bucket, "s3:GetObjectRetention");
    const { exitCode, findings } = await probing(at);
    expect(exitCode).toBe(13);
    expect(findings.join("\n")).toContain(
      "no lock was confirmed: the access key may not read locks (s3:GetObjectRetention)",
    );
    expect(await probes(at)).toMatchObject([{ by: "lock", refused: false }]);
  });

  test("shows that a bucket does not keep its promise", async () => {
    const at = await retained(postgres, {
      storages: ["disk", "r2"],
      settings: { r2: { "immutable.by": "bucket-rule", "immutable.days": 3, attempts: 1 } },
    });
    await using _ = at;
    await at.backup(0);
    const unproven = await at.installation.run("doctor", "--json");
    expect(unproven.json.findings).toContainEqual(
      expect.objectContaining({ subject: "r2", verdict: "warning", hint: "run: pg321 doctor --probe-lock" }),
    );
    const { exitCode, findings } = await probing(at);
    expect(exitCode).toBe(13);
    expect(findings).toContainEqual("failed a probe object was not protected: it could be deleted");
    expect(await probes(at)).toMatchObject([
      { by: "bucket-rule", refused: false, removed_at: expect.any(String) },
    ]);
    expect(await probeObjects(at)).toEqual([]);
    // The time of the storage in its answers is coarse: the next probe may seem to be earlier.
    const [first] = await probes(at);
    const probed_at = new Date(Date.now() + 5000).toISOString();
    await withCatalog(at.installation, ({ lockProbes }) => lockProbes.update(first?.id ?? "", { probed_at }));
    // The rule is there now.
    const place = at.places.get("r2") as Extract<Place, { lab: unknown }>;
    await deny(place.lab, place.bucket, "s3:DeleteObject", "s3:DeleteObjectVersion");
    expect((await probing(at)).findings).toContainEqual(
      expect.stringMatching(
        /^ok a rule of the bucket keeps each object for 3 days; refused to delete a probe/,
      ),
    );
    expect(await probes(at)).toMatchObject([{ by: "bucket-rule", refused: true }]);
  });

  test("proves that a key cannot delete, so that the bucket is append-only", async () => {
    const at = await retained(postgres, {
      storages: ["disk", "r2"],
      settings: { r2: { expire: "provider-lifecycle", attempts: 1 } },
    });
    await using _ = at;
    await at.backup(0);
    const place = at.places.get("r2") as Extract<Place, { lab: unknown }>;
    await deny(place.lab, place.bucket, "s3:DeleteObject", "s3:DeleteObjectVersion");
    expect((await probing(at)).findings).toContainEqual(
      expect.stringMatching(
        /^ok append-only: only the provider's lifecycle rule deletes; refused to delete a probe/,
      ),
    );
    expect(await at.cleanup()).toMatchObject({ exitCode: 0, orphans: [], errors: [] });
    expect(await probeObjects(at)).toHaveLength(1);
  });
});

describe("without Object Lock", () => {
  test("a backup succeeds, its copies are not immutable, and one alert says why until it works", async () => {
    const at = await retained(postgres, {
      storages: ["disk", "r2", "b2"],
      settings: { r2: LOCK, b2: LOCK },
    });
    await using _ = at;
    const id = await at.backup(0);
    await at.backup(0);
    expect(await at.states(id)).toBe("b2:CONFIRMED disk:CONFIRMED r2:CONFIRMED");
    for (const storage of ["r2", "b2"])
      expect(await copyIn(at, storage, id)).toMatchObject({
        locked_until: null,
        lock_mode: null,
        lock_error: expect.stringContaining("has no Object Lock, or the server does not know it"),
      });
    expect((await at.openAlerts()).map(({ key, level, count }) => ({ key, level, count })).sort()).toEqual(
      expect.arrayContaining([
        { key: "lock storage b2", level: "WARNING", count: 2 },
        { key: "lock storage r2", level: "WARNING", count: 2 },
      ]),
    );
    await at.installation.ok("verify", id);
    expect((await at.installation.ok("cleanup", "--json")).json).toMatchObject({
      outcome: "OK",
      locks_renewed: 0,
    });
  });
});
