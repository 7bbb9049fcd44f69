import { describe, expect, test } from "bun:test";
import { createHash, randomUUID } from "node:crypto";
import fc from "fast-check";
import type { RestoreResultFields } from "./restore-result.ts";
import { decodeRestoreResult, encodeRestoreResult } from "./restore-result.ts";
import { generateSigningKey } from "./signing-key.ts";

const installation = randomUUID();
const prover = generateSigningKey(installation);
const trusted = [prover.signer];
const fields: RestoreResultFields = {
  test_id: randomUUID(),
  installation,
  backup_id: randomUUID(),
  server: "main",
  database: 'Größe "1"\u2028/\u007f\u0001\\',
  backup_started_at: "2026-11-23T00:25:00.000Z",
  object_sha256: createHash("sha256").digest("hex"),
  outcome: "PASSED",
  started_at: "2026-11-24T00:25:00.000Z",
  finished_at: "2026-11-24T00:26:00.000Z",
  fetch_ms: 12,
  restore_ms: 3456,
  check_ms: null,
  dump_bytes: 2 ** 50,
  checks: 7,
  failed_checks: 0,
  pg321_version: "0.1.0",
};
const bytes = (text: string) => new TextEncoder().encode(text);
const codeOf = (read: () => unknown) => {
  try {
    read();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "accepted";
};

describe("the result of a restore test", () => {
  test("is read back as it was signed", () => {
    for (const one of [fields, { ...fields, details: "-----BEGIN AGE ENCRYPTED FILE-----\n…" }])
      expect(decodeRestoreResult(bytes(encodeRestoreResult(one, prover)), trusted)).toEqual({
        ...one,
        signer: prover.signer,
      });
  });

  test("of a signer who is not trusted is refused as a matter of keys", () => {
    const stranger = generateSigningKey(installation);
    const encoded = bytes(encodeRestoreResult(fields, stranger));
    expect(codeOf(() => decodeRestoreResult(encoded, trusted))).toBe("key");
  });

  test("is refused if a trusted name stands over a stranger's signature", () => {
    const forged = JSON.parse(encodeRestoreResult(fields, generateSigningKey(installation)));
    const encoded = bytes(JSON.stringify({ ...forged, signer: prover.signer }));
    expect(codeOf(() => decodeRestoreResult(encoded, trusted))).toBe("verification");
  });

  test("is refused with any member changed or any byte lost", () => {
    const encoded = encodeRestoreResult({ ...fields, outcome: "FAILED", failed_checks: 1 }, prover);
    for (const change of [
      { outcome: "PASSED" },
      { failed_checks: 0 },
      { backup_id: randomUUID() },
      { more: 1 },
    ]) {
      const changed = JSON.stringify({ ...JSON.parse(encoded), ...change });
      expect(codeOf(() => decodeRestoreResult(bytes(changed), trusted))).toBe("verification");
    }
    fc.assert(
      fc.property(fc.nat(encoded.length - 1), (end) => {
        expect(codeOf(() => decodeRestoreResult(bytes(encoded.slice(0, end)), trusted))).toBe("verification");
      }),
    );
  });

  test("a manifest's signature does not make one", () => {
    const body = { restore_result: 1, ...fields, signer: prover.signer };
    const signature = prover.sign("pg321 manifest 1 signature\n", bytes(JSON.stringify(body)));
    const encoded = JSON.stringify({ ...body, signature: Buffer.from(signature).toString("base64") });
    expect(codeOf(() => decodeRestoreResult(bytes(encoded), trusted))).toBe("verification");
  });
});
