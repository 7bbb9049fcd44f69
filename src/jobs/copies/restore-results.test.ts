import { expect, test } from "bun:test";
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { LOCAL, SERVER } from "../../../test/fixtures/config-file.ts";
import { backUp } from "../../../test/lab/backed-up.ts";
import { beside } from "../../../test/lab/data/shared-catalog.ts";
import { endpointLab } from "../../../test/lab/endpoint.ts";
import type { RestoreTestRecord } from "../../catalog/records.ts";
import { generateSigningKey } from "../../sealed/signing-key.ts";
import type { JobContext } from "../context.ts";
import { collectResults, leaveResult } from "./restore-results.ts";

const SHA = createHash("sha256").digest("hex");

/** A host with one backup in a real directory, and a second host that proves it: another catalog and signing key. */
async function useTwoHosts() {
  const lab = await endpointLab({ parts: (dir) => SERVER + LOCAL.replace("/srv/backup", join(dir, "disk")) });
  const backup = await backUp(lab, 5, { disk: "CONFIRMED" }, { object_sha256: SHA });
  await mkdir(join(lab.directory, "disk", dirname(backup.object_key)), { recursive: true });
  const prover = generateSigningKey(lab.context.installation);
  const proving: JobContext = { ...lab.context, keys: { ...lab.context.keys, signingKey: prover } };
  const record: RestoreTestRecord = {
    ...{ id: randomUUID(), run_id: randomUUID(), prover: null, backup_id: backup.id },
    ...{ server: backup.server, database: backup.database, backup_started_at: backup.started_at },
    ...{ storage: "disk", target: "throwaway", outcome: "PASSED", dump_bytes: 9 },
    ...{ started_at: "2026-11-22T20:00:00.000Z", finished_at: "2026-11-22T20:01:00.000Z" },
    ...{ fetch_ms: 1, restore_ms: 2, check_ms: 3, error: null },
    checks: [{ name: "rows", is_ok: true, expected: 3, found: 3, detail: "public.secret_table" }],
  };
  return {
    ...{ lab, backup, prover, proving, record },
    files: () => readdir(join(lab.directory, "disk", dirname(backup.object_key))),
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

test("a result that a trusted host left counts once, and does not show the names of tables", async () => {
  await using hosts = await useTwoHosts();
  const { lab, backup, prover, proving, record } = hosts;
  await leaveResult(proving, backup, record);
  const [file] = await hosts.files();
  const text = await Bun.file(join(lab.directory, "disk", dirname(backup.object_key), file ?? "")).text();
  expect(text).not.toContain("secret_table");
  const found = await collectResults(lab.context, [prover.signer]);
  expect(found).toMatchObject([
    { id: record.id, outcome: "PASSED", prover: prover.signer, run_id: null, restore_ms: 2 },
  ]);
  expect(await collectResults(lab.context, [prover.signer])).toEqual([]);
  expect((await lab.context.catalog.restoreTests.standings()).map(({ latest }) => latest)).toEqual(found);
});

test("nobody else's result counts: a stranger's, a renamed one, one of other bytes, one of another backup", async () => {
  await using hosts = await useTwoHosts();
  const { lab, backup, prover, proving, record } = hosts;
  const stranger = generateSigningKey(lab.context.installation);
  await leaveResult({ ...proving, keys: { ...proving.keys, signingKey: stranger } }, backup, record);
  await leaveResult(
    proving,
    { ...backup, object_sha256: SHA.replace(/^./, "0") },
    { ...record, id: randomUUID() },
  );
  await leaveResult(proving, backup, { ...record, id: randomUUID(), backup_id: randomUUID() });
  await leaveResult({ ...proving, installation: randomUUID() }, backup, { ...record, id: randomUUID() });
  expect(await hosts.files()).toHaveLength(4);
  expect(await collectResults(lab.context, [prover.signer])).toEqual([]);
  expect(await collectResults(lab.context, [])).toEqual([]);
});

test("a test that could not be carried out leaves nothing", async () => {
  await using hosts = await useTwoHosts();
  await leaveResult(hosts.proving, hosts.backup, { ...hosts.record, outcome: "ERROR" });
  expect(await hosts.files()).toEqual([]);
});

test("the results about another host's backups are left to that host", async () => {
  await using hosts = await useTwoHosts();
  const { lab, backup, prover, proving, record } = hosts;
  await leaveResult(proving, backup, record);
  const context = { ...(await beside(lab.context, { other: { servers: ["main"] } })), host: "unregistered" };
  expect(await collectResults(context, [prover.signer])).toEqual([]);
  expect(await collectResults(lab.context, [prover.signer])).toHaveLength(1);
});
