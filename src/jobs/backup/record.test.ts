import { expect, test } from "bun:test";
import { backupRecord } from "../../../test/suites/catalog/records.ts";
import { MANIFEST_BYTES_MAX } from "../../base/limits.ts";
import { totalsOf, unknownFacts } from "../../postgres/counts/facts.ts";
import { openDetails } from "../../sealed/details.ts";
import { generateIdentity } from "../../sealed/identity.ts";
import { decodeManifest } from "../../sealed/manifest.ts";
import { generateSigningKey } from "../../sealed/signing-key.ts";
import type { JobContext } from "../context.ts";
import { describeObject, withFacts } from "./record.ts";

test("the counts of very many tables are cut so that the manifest is not too large, and keep their sums", async () => {
  const { identity, recipient } = await generateIdentity();
  const signingKey = generateSigningKey(crypto.randomUUID());
  const recipients = [recipient, (await generateIdentity()).recipient];
  const context = {
    clock: { now: () => new Date() },
    config: { encryption: { mode: "age", recipients } },
    keys: { signingKey },
  } as unknown as JobContext;
  const started = backupRecord({
    ...{ server: "\\".repeat(40), database: '"'.repeat(63), object_key: "ü".repeat(1024) },
    ...{ started_at: "2026-11-23T00:25:00.000Z", compression: "zstd" },
  });
  const meters = { dump: { bytes: 1 }, object: { bytes: 1, sha256: "0".repeat(64) } };
  const described = describeObject(context, started, meters as never, "");
  const facts = {
    ...unknownFacts("none"),
    tables: Array.from({ length: 20_000 }, (_, i) => ({
      ...{ schema: "schema", name: `größe "${i}"`, rows: i, method: "exact" as const, why: null },
    })),
  };
  const backup = await withFacts(context, described, facts);
  const bytes = Buffer.byteLength(backup.manifest);
  expect(bytes).toBeLessThanOrEqual(MANIFEST_BYTES_MAX);
  expect(bytes).toBeGreaterThan(0.9 * MANIFEST_BYTES_MAX);
  const manifest = decodeManifest(backup.manifest, [signingKey.signer]);
  expect(manifest.finished_at).toBe(decodeManifest(described.manifest, [signingKey.signer]).finished_at);
  expect(await openDetails(manifest.details ?? "", [identity])).toEqual({ facts: backup.facts });
  expect(totalsOf(backup.facts as unknown as typeof facts)).toEqual(totalsOf(facts));
});
