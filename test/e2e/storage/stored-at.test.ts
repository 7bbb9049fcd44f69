import { expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { CopyRecord } from "../../../src/catalog/records.ts";
import { runBackup } from "../../../src/jobs/backup/backup.ts";
import { runCleanup } from "../../../src/jobs/cleanup/cleanup.ts";
import type { JobContext } from "../../../src/jobs/context.ts";
import { reconcile } from "../../../src/jobs/copies/reconcile.ts";
import { runRepair } from "../../../src/jobs/verify/repair.ts";
import { withCatalog } from "../../lab/leftovers.ts";
import { copyIn } from "../../lab/locking.ts";
import { contextAhead, type Retained, retained } from "../../lab/retained.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();

/** What a job makes of a backup 60 days later: its copies, which must still be dated by their objects. */
async function sixtyDaysLater(
  prepare: (at: Retained, id: string) => Promise<unknown>,
  job: (context: JobContext) => Promise<unknown>,
): Promise<(CopyRecord | undefined)[]> {
  const at = await retained(postgres, { storages: ["disk", "r2"] });
  await using _ = at;
  const id = await at.backup(0);
  await prepare(at, id);
  await using context = await contextAhead(at, 60 * 24);
  await job(context);
  return [await copyIn(at, "disk", id), await copyIn(at, "r2", id)];
}

function expectDatedByObject(copies: readonly (CopyRecord | undefined)[]): void {
  for (const copy of copies) {
    expect(copy?.state).toBe("CONFIRMED");
    expect(Math.abs(Date.parse(copy?.confirmed_at ?? "") - Date.now())).toBeLessThan(120_000);
  }
}

test("a copy that cleanup adopts counts as stored when its object was", async () => {
  const copies = await sixtyDaysLater(
    ({ installation }) => rm(join(installation.directory, "state"), { recursive: true }),
    (context) => runCleanup(context, { adopt: true }),
  );
  expectDatedByObject(copies);
});

test("so does the copy of an interrupted run that a later run settles", async () => {
  const copies = await sixtyDaysLater(
    ({ installation }, id) =>
      withCatalog(installation, async (catalog) => {
        for (const name of ["disk", "r2"])
          await catalog.updateCopy(id, name, { state: "INTENDED", confirmed_at: null });
      }),
    (context) => reconcile(context),
  );
  expectDatedByObject(copies);
});

test("so does a copy whose manifest a repair writes again", async () => {
  const [disk] = await sixtyDaysLater(
    async (at, id) => {
      const [, manifest = ""] = await at.objects("disk", id);
      await rm(join(at.installation.directory, "disk", manifest));
      await withCatalog(at.installation, (catalog) => catalog.updateCopy(id, "disk", { state: "MISSING" }));
    },
    (context) => runRepair(context),
  );
  expectDatedByObject([disk]);
});

test("a copy counts as stored when the storage's clock said so, and verify corrects a date in the future", async () => {
  const at = await retained(postgres, { storages: ["disk", "r2"] });
  await using _ = at;
  {
    await using ahead = await contextAhead(at, 60 * 24);
    await runBackup(ahead, []);
  }
  const [{ id }] = (await at.installation.ok("list", "--json")).json.backups;
  expectDatedByObject([await copyIn(at, "r2", id)]);
  expect(Date.parse((await copyIn(at, "disk", id))?.confirmed_at ?? "") - Date.now()).toBeGreaterThan(0);
  await at.installation.ok("verify", id);
  expectDatedByObject([await copyIn(at, "disk", id)]);
});
