import { expect, test } from "bun:test";
import { systemClock } from "../src/base/clock.ts";
import { Secret } from "../src/base/secret.ts";
import type { Catalog } from "../src/catalog/catalog.ts";
import { openCatalog } from "../src/catalog/open.ts";
import type { RestoreTestRecord } from "../src/catalog/records.ts";
import { eventually } from "./lab/machine/running.ts";
import { connectTo, disposable } from "./lab/servers/postgres.ts";
import { usePostgres } from "./lab/servers/use-postgres.ts";
import { backupRecord, copyRecord } from "./suites/catalog/records.ts";
import { restoreTest } from "./suites/catalog/restore-tests.ts";

const postgres = usePostgres();
const NOW = new Date("2026-02-01T00:00:00.000Z");
const UNTIL = "2027-01-01T00:00:00.000Z";

interface Sessions {
  catalog: Catalog;
  /**
   * Changes the records in a transaction of another session. Once the work waits for it or is done, it makes the last changes
   * and ends.
   */
  during: (changes: readonly string[], work: () => Promise<unknown>, last?: string) => Promise<void>;
}

async function twoSessions(check: (sessions: Sessions) => Promise<void>): Promise<void> {
  const name = await postgres.createDatabase();
  const at = { type: "postgres", url: new Secret(postgres.url(name)) } as const;
  await using catalog = await openCatalog(at, { clock: systemClock });
  await using admin = disposable(connectTo(postgres.address, name));
  const during: Sessions["during"] = async (changes, work, last) => {
    let ended: Promise<unknown> | undefined;
    await admin.sql.begin(async (other) => {
      for (const change of changes) await other.unsafe(change);
      let hasEnded = false;
      ended = work().finally(() => {
        hasEnded = true;
      });
      await eventually(async () => {
        const waiting = await other`select 1 from pg_locks where not granted`;
        return hasEnded || waiting.length > 0;
      });
      if (last !== undefined) await other.unsafe(last);
    });
    await ended;
  };
  await check({ catalog, during });
}

test("a copy of a backup that another session makes the newest good one at that moment", () =>
  twoSessions(async ({ catalog, during }) => {
    const [first, second] = ["2026-01-01", "2026-01-02"].map((day) =>
      backupRecord({ status: "VERIFIED", started_at: `${day}T00:00:00.000Z` }),
    ) as [ReturnType<typeof backupRecord>, ReturnType<typeof backupRecord>];
    for (const backup of [first, second]) {
      await catalog.insertBackup(backup);
      await catalog.putCopy(copyRecord(backup, { storage: backup.id, state: "CONFIRMED" }));
    }
    // Its removal: the one before it becomes the newest good one.
    const removal = ["copies where backup_id", "backups where id"].map(
      (which) => `delete from pg321.${which} = '${second.id}'`,
    );
    await during(removal, async () => {
      await catalog.updateCopy(first.id, first.id, { locked_until: UNTIL });
      await catalog.updateBackup(first.id, { dump_bytes: 321 });
    });
    const [standing] = await catalog.overview.standings(NOW);
    expect(standing).toMatchObject({
      good: { id: first.id, dump_bytes: 321, copies: [{ locked_until: UNTIL }] },
      ended: { id: first.id, dump_bytes: 321 },
    });
  }));

test("a restore test of a database whose last result another session removes at that moment", () =>
  twoSessions(async ({ catalog, during }) => {
    const [old, added] = ["2025-01-01", "2026-01-01"].map((day) =>
      restoreTest({ server: "main", finished_at: `${day}T02:00:00.000Z` }),
    ) as [RestoreTestRecord, RestoreTestRecord];
    await catalog.restoreTests.add({ ...old, outcome: "ERROR" });
    // As between two statements of the trigger.
    const locked = ["select 1 from pg321.tested_databases for update"];
    const add = () => catalog.restoreTests.add(added);
    await during(locked, add, `delete from pg321.restore_tests where id = '${old.id}'`);
    expect(await catalog.restoreTests.standings()).toMatchObject([{ latest: added, passed: added }]);
  }));
