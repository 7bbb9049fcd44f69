import { expect, test } from "bun:test";
import { SERVER } from "../../../test/fixtures/config-file.ts";
import { beside } from "../../../test/lab/data/shared-catalog.ts";
import { endpointLab } from "../../../test/lab/endpoint.ts";
import { backupRecord, copyRecord } from "../../../test/suites/catalog/records.ts";
import { Pg321Error } from "../../base/errors.ts";
import { GLOBALS_DATABASE } from "../../catalog/globals.ts";
import { archiveGlobals } from "./archive-globals.ts";
import { CleanupTally } from "./report.ts";

const STORAGES = `
[[storage]]
name = "disk"
type = "local"
path = "/srv/disk"
expire = { archive_to = "vault" }
[[storage]]
name = "vault"
type = "local"
path = "/srv/vault"
keep.days = 1000
`;

/** Dumps in the archive whose globals are only in the other storage, and an archive that answers with this error. */
async function archiving(error: Pg321Error, others: Parameters<typeof beside>[1] = {}) {
  await using lab = await endpointLab({ parts: SERVER + STORAGES });
  const { catalog, storages } = lab.context;
  for (let day = 1; day <= 9; day++) {
    const of = { run_id: crypto.randomUUID(), started_at: `2026-01-0${day}T00:00:00.000Z`, manifest: "{}" };
    const dump = backupRecord({ ...of, status: "VERIFIED" });
    const globals = backupRecord({
      ...{ ...of, status: "VERIFIED", kind: "globals", database: GLOBALS_DATABASE },
      object_key: `main/globals_${day}`,
    });
    for (const one of [globals, dump]) await catalog.insertBackup(one);
    await catalog.putCopy(copyRecord(globals, { storage: "disk", state: "CONFIRMED" }));
    await catalog.putCopy(copyRecord(dump, { storage: "vault", state: "CONFIRMED" }));
  }
  let asked = 0;
  const answer = async () => {
    asked++;
    throw error;
  };
  const context = {
    ...(Object.keys(others).length > 0 ? await beside(lab.context, others) : lab.context),
    storages: storages.map((one) =>
      one.name === "vault" ? Object.assign(Object.create(one), { head: answer }) : one,
    ),
  };
  const tally = new CleanupTally(["disk", "vault"]);
  await archiveGlobals(context, "run", tally);
  return { asked, errors: tally.statistics.errors, failed: tally.in("vault").failed };
}

test("an archive that does not answer is not asked for each of many globals", async () => {
  const silent = await archiving(new Pg321Error("storage", "no answer", { retryable: true }));
  expect(silent.asked).toBe(3);
  expect(silent.failed).toBe(9);
  expect(silent.errors.at(-1)?.error).toBe(
    'storage "vault": skipped: 3 globals in a row could not be archived because a storage did not answer',
  );
  const refusing = await archiving(new Pg321Error("storage", "no"));
  expect(refusing).toMatchObject({ asked: 9, failed: 9 });
});

test("globals of a server that another host has are that host's to archive", async () => {
  const refusing = new Pg321Error("storage", "no");
  expect(await archiving(refusing, { other: { servers: ["main"] } })).toMatchObject({ asked: 0, failed: 0 });
});
