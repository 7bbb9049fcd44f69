import { HOUR_MS } from "../../src/base/limits.ts";
import type { BackupRecord, CopyState } from "../../src/catalog/records.ts";
import type { DatabaseStatus } from "../../src/status/report.ts";
import { statusReport } from "../../src/status/status.ts";
import { LOCAL, SERVER } from "../fixtures/config-file.ts";
import { backupRecord, copyRecord } from "../suites/catalog/records.ts";
import { type EndpointLab, endpointLab } from "./endpoint.ts";

/** The lab's clock is set to 2026-11-23T00:00:00Z. */
export const hoursAgo = (hours: number) => new Date(Date.UTC(2026, 10, 23) - hours * HOUR_MS).toISOString();
export const USB = LOCAL.replace('"disk"', '"usb"').replace("/srv/backup", "/mnt/usb");
export const BOTH = { disk: "CONFIRMED", usb: "CONFIRMED" } as const;

/** Records a backup of main/app that started `hours` ago, with these copies. */
export async function backUp(
  lab: EndpointLab,
  hours: number,
  copies: Record<string, CopyState>,
  change: Partial<BackupRecord> = {},
): Promise<BackupRecord> {
  const { catalog } = lab.context;
  const started_at = hoursAgo(hours);
  const finished_at = hoursAgo(hours - 0.5);
  const backup = backupRecord({
    started_at,
    finished_at,
    status: "VERIFIED",
    dump_bytes: 9,
    object_bytes: 5,
    ...change,
  });
  await catalog.insertBackup(backup);
  for (const [storage, state] of Object.entries(copies))
    await catalog.putCopy(copyRecord(backup, { storage, state, object_bytes: 5 }));
  return backup;
}

export const twoStorages = (more = "") => endpointLab({ parts: SERVER + LOCAL + USB, more });
export const see = (lab: EndpointLab, ...names: string[]) =>
  lab.context.catalog.overview.seeDatabases("main", names, hoursAgo(0));

export async function app(lab: EndpointLab): Promise<DatabaseStatus> {
  const { databases } = await statusReport(lab.context, lab.live);
  const found = databases.find(({ database }) => database === "app");
  if (!found) throw new Error("no such database");
  return found;
}
