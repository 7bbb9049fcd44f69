import { expect, test } from "bun:test";
import { SERVER } from "../../../test/fixtures/config-file.ts";
import { endpointLab } from "../../../test/lab/endpoint.ts";
import { backupRecord, copyRecord } from "../../../test/suites/catalog/records.ts";
import { DAY_MS } from "../../base/limits.ts";
import { planCleanup } from "./plan.ts";

const STORAGES = `
[[storage]]
name = "disk"
type = "local"
path = "/srv/disk"
keep.days = 30
expire = { archive_to = "vault" }
[[storage]]
name = "vault"
type = "local"
path = "/srv/vault"
keep.days = 300
`;

/** `app 5 disk`: the database, the age in days and the storage of each copy that expires. */
async function expiring(more: string): Promise<string[]> {
  await using lab = await endpointLab({ more, parts: SERVER + STORAGES });
  const { catalog, clock } = lab.context;
  const names = new Map<string, string>();
  for (const database of ["app", "other"])
    for (const days of [0, 5, 100, 400]) {
      const started_at = new Date(clock.now().getTime() - days * DAY_MS).toISOString();
      const backup = backupRecord({ database, started_at, status: "VERIFIED" });
      names.set(backup.id, `${database} ${days}`);
      await catalog.insertBackup(backup);
      for (const storage of ["disk", "vault"])
        await catalog.putCopy(copyRecord(backup, { storage, state: "CONFIRMED", object_bytes: 1 }));
    }
  await using snapshot = await catalog.retained();
  const found: string[] = [];
  await planCleanup(lab.context, snapshot, {}, (decisions) => {
    for (const { action, backupId, storage } of decisions)
      if (action !== "keep") found.push(`${names.get(backupId)} ${storage}`);
  });
  return found.sort();
}

const own = (days: number) => `[[database]]\nname = "app"\nkeep = { days = ${days} }`;
const OTHER = ["other 100 disk", "other 400 disk", "other 400 vault"];

test("keep of a [[database]] table decides for its copies, and not for those of other databases or in archives", async () => {
  expect(await expiring("")).toEqual(["app 100 disk", "app 400 disk", "app 400 vault", ...OTHER]);
  expect(await expiring(own(3))).toEqual([
    ...["app 100 disk", "app 400 disk", "app 400 vault", "app 5 disk"],
    ...OTHER,
  ]);
  expect(await expiring(own(200))).toEqual(["app 400 disk", "app 400 vault", ...OTHER]);
});
