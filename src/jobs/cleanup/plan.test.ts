import { expect, test } from "bun:test";
import { SERVER } from "../../../test/fixtures/config-file.ts";
import { endpointLab } from "../../../test/lab/endpoint.ts";
import { alertRecord, backupRecord, copyRecord } from "../../../test/suites/catalog/records.ts";
import { DAY_MS } from "../../base/limits.ts";
import { boundTo } from "../../catalog/fleet/fenced-catalog.ts";
import { planCleanup, planRun } from "./plan.ts";

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
  await planCleanup(
    lab.context,
    async () => snapshot,
    {},
    (decisions) => {
      for (const { action, backupId, storage } of decisions)
        if (action !== "keep") found.push(`${names.get(backupId)} ${storage}`);
    },
  );
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

test("a dump that shrinks while the plan begins keeps the ones before it", async () => {
  await using lab = await endpointLab({ parts: SERVER + STORAGES });
  const { catalog, clock } = lab.context;
  const daysAgo = (days: number) => new Date(clock.now().getTime() - days * DAY_MS).toISOString();
  const good = async (days: number) => {
    const backup = backupRecord({ database: "app", started_at: daysAgo(days), status: "VERIFIED" });
    await catalog.insertBackup(backup);
    await catalog.putCopy(copyRecord(backup, { storage: "vault", state: "CONFIRMED", object_bytes: 1 }));
  };
  await good(400);
  const retained = async () => {
    if ((await catalog.countBackups({})) === 1) {
      await good(0);
      const metadata = { shrunk_at: daysAgo(0) };
      await catalog.changeAlert("shrunk", () => ({ alert: alertRecord({ metadata }), deliveries: [] }));
    }
    return await catalog.retained();
  };
  const shrinking = new Proxy(catalog, {
    get: (target, name) => (name === "retained" ? retained : boundTo(target, name)),
  });
  const { going } = await planRun({ ...lab.context, catalog: shrinking }, "run", { confirm: undefined });
  await using _ = going;
  expect(await Array.fromAsync(going.backups())).toEqual([]);
  expect(going.listed).toMatchObject([{ action: "keep", guard: "shrunk" }]);
});
