import { expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { endpointLab } from "../../../test/lab/endpoint.ts";
import { runRecord } from "../../../test/suites/catalog/records.ts";
import { leaseName } from "../../catalog/database-lease.ts";
import { GLOBALS_DATABASE } from "../../catalog/globals.ts";
import { holdLease } from "../../catalog/lease.ts";
import type { BackupKind } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";
import { awaitBackupLease } from "./lease-of-backup.ts";

async function runningBackup(context: JobContext): Promise<string> {
  const run = runRecord({ job: "backup", outcome: "RUNNING", finished_at: null });
  await context.catalog.insertRun(run);
  return run.id;
}

async function held(context: JobContext, database: string) {
  const { catalog, clock, host, pid, signal } = context;
  const runId = await runningBackup(context);
  return holdLease(catalog, { name: leaseName("main", database), runId, host, pid }, { clock, signal });
}

test("the globals of a server wait for those of other runs, however many wait", async () => {
  await using lab = await endpointLab();
  const { context, clock } = lab;
  const first = await held(context, GLOBALS_DATABASE);
  const take = async () => {
    const runId = await runningBackup(context);
    const about = { runId, server: "main", database: GLOBALS_DATABASE, kind: "globals" as BackupKind };
    await using _lease = await awaitBackupLease(context, about);
    return "taken";
  };
  const waiting = [take(), take(), take()].map((one) => one.catch((error) => error));
  // The holder renews its lease, and each of the others sleeps until it looks again.
  while (clock.sleeping < 4) await setImmediate();
  await first[Symbol.asyncDispose]();
  const all = clock.advanceUntil(Promise.all(waiting));
  expect(await all).toEqual(["taken", "taken", "taken"]);
});

test("globals wait no longer than a minute for a run that hangs", async () => {
  await using lab = await endpointLab();
  const { context, clock } = lab;
  await using _hung = await held(context, GLOBALS_DATABASE);
  const runId = await runningBackup(context);
  const about = { runId, server: "main", database: GLOBALS_DATABASE, kind: "globals" as BackupKind };
  const fromMs = clock.monotonicMs();
  const refused = await clock.advanceUntil(awaitBackupLease(context, about).catch((error) => error));
  expect(refused).toMatchObject({ code: "locked" });
  expect(clock.monotonicMs() - fromMs).toBeWithin(60_000, 90_000);
});

test("a dump is refused while another backup of its database is running", async () => {
  await using lab = await endpointLab();
  await using _first = await held(lab.context, "app");
  const about = { runId: crypto.randomUUID(), server: "main", database: "app", kind: "dump" as BackupKind };
  const refused = await awaitBackupLease(lab.context, about).catch((error) => error);
  expect(refused).toMatchObject({ code: "locked" });
});
