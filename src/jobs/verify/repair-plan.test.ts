import { expect, test } from "bun:test";
import { SERVER } from "../../../test/fixtures/config-file.ts";
import { endpointLab } from "../../../test/lab/endpoint.ts";
import { backupRecord, copyRecord } from "../../../test/suites/catalog/records.ts";
import { DAY_MS } from "../../base/limits.ts";
import { planRepair } from "./repair-plan.ts";

const STORAGES = ["disk", "usb"]
  .map((name) => `[[storage]]\nname = "${name}"\ntype = "local"\npath = "/srv/${name}"\nkeep.days = 30\n`)
  .join("");

/** `app 5`: the database and the age in days of each backup that gets a copy in `usb`. */
async function filled(inUsb: "FAILED" | undefined, more: string): Promise<string[]> {
  await using lab = await endpointLab({ more, parts: SERVER + STORAGES });
  const { catalog, clock } = lab.context;
  const names = new Map<string, string>();
  for (const database of ["app", "other"])
    for (const days of [5, 100]) {
      const started_at = new Date(clock.now().getTime() - days * DAY_MS).toISOString();
      const status = inUsb === undefined ? "VERIFIED" : "PARTIAL";
      const backup = backupRecord({ database, started_at, status, manifest: "{}", object_bytes: 1 });
      names.set(backup.id, `${database} ${days}`);
      await catalog.insertBackup(backup);
      await catalog.putCopy(copyRecord(backup, { storage: "disk", state: "CONFIRMED" }));
      if (inUsb !== undefined) await catalog.putCopy(copyRecord(backup, { storage: "usb", state: inUsb }));
    }
  const planned = await Array.fromAsync(planRepair(lab.context));
  expect(planned.filter(({ storage, from }) => storage !== "usb" || from !== "disk")).toEqual([]);
  return planned.map(({ backup_id }) => names.get(backup_id) ?? "unknown").sort();
}

const own = (days: number) => `[[database]]\nname = "app"\nkeep = { days = ${days} }`;

test.each([
  ["whose copy was never completed", "FAILED"],
  ["from before the storage was added", undefined],
] as const)("a backup %s is copied while keep of its [[database]] table keeps it", async (_, state) => {
  expect(await filled(state, "")).toEqual(["app 5", "other 5"]);
  expect(await filled(state, own(3))).toEqual(["other 5"]);
  expect(await filled(state, own(200))).toEqual(["app 100", "app 5", "other 5"]);
});
