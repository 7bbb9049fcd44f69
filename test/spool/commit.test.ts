import { describe, expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { Secret } from "../../src/base/secret.ts";
import { openCatalog } from "../../src/catalog/open.ts";
import { hasHappened, markStatement } from "../../src/catalog/postgres/calls.ts";
import { transactionsAt } from "../../src/catalog/postgres/postgres.ts";
import { eventually } from "../lab/machine/running.ts";
import { isUnreachable, type SpoolPlace, useSpools } from "../lab/servers/use-spools.ts";
import { backupRecord, deliveryRecord, runRecord } from "../suites/catalog/records.ts";

const spools = useSpools();

describe("a COMMIT without an answer", () => {
  const claims = async (place: SpoolPlace, id: string) => {
    await using other = await spools.openDirectly(place);
    return (await other.deliveries({})).filter((one) => one.id === id).map(({ attempts }) => attempts);
  };
  const withNotice = async (place: SpoolPlace) => {
    const catalog = await spools.open(place);
    const notice = deliveryRecord({});
    await catalog.insertDeliveries([notice]);
    return { catalog, notice };
  };
  const now = "2026-01-01T00:00:00.000Z";

  // Each claim counts an attempt, so that a second one shows.
  for (const how of ["lost", "unanswered"] as const)
    test(`is settled in a new session: it was ${how}`, async () => {
      const place = await spools.newPlace();
      const { catalog, notice } = await withNotice(place);
      await using _catalog = catalog;
      const before = spools.relay.lost();
      spools.relay.loseCommit(how);
      expect(await catalog.claimDelivery(notice.id, now, "2026-01-01T00:05:00.000Z")).toBe(true);
      expect(spools.relay.lost()).toBe(before + 1);
      expect(isUnreachable(catalog)).toBe(false);
      expect(await claims(place, notice.id)).toEqual([1]);
    });

  for (const how of ["lost", "unanswered"] as const)
    test(`is settled at the delivery if the catalog stays away: it was ${how}`, async () => {
      const place = await spools.newPlace();
      const { catalog } = await withNotice(place);
      await using _catalog = catalog;
      const backup = backupRecord();
      spools.relay.loseCommit(how, { refuses: true });
      await catalog.insertBackup(backup);
      await catalog.updateBackup(backup.id, { status: "VERIFIED" });
      expect(catalog.spool?.status()).toMatchObject({ unreachable_since: expect.any(String), waiting: 2 });
      spools.relay.pass();
      await spools.untilBack(catalog);
      await using other = await spools.openDirectly(place);
      expect(await other.backups({})).toEqual([{ ...backup, status: "VERIFIED" }]);
    });

  test("at the delivery is settled by the number of the record", async () => {
    const place = await spools.newPlace();
    await using catalog = await spools.open(place);
    // Each record is a row of its own, so that a second delivery shows.
    const sql = spools.postgres.connect(new URL(place.direct).pathname.slice(1));
    const count = async () => (await sql`select from pg321.recovery_kits`).length;
    spools.relay.cut();
    await catalog.recoveryKits.record({ made_at: now, fingerprint: "a" });
    spools.relay.loseCommit("unanswered", { refuses: true });
    await eventually(async () => {
      spools.ahead();
      await catalog.leases();
      // The delivery has given up.
      return catalog.spool?.status().reason?.includes("lost during COMMIT") === true;
    });
    expect(await count()).toBe(1);
    spools.relay.pass();
    await spools.untilBack(catalog);
    expect(await count()).toBe(1);
  });

  test("is settled at the delivery also if the process delivers a record of another one first", async () => {
    const place = await spools.newPlace();
    await using catalog = await spools.open(place);
    await using other = await spools.openDirectly(place);
    const backup = backupRecord({ status: "VERIFIED" });
    await catalog.insertBackup(backup);
    const second = await spools.open(place);
    spools.relay.cut();
    await second.leases();
    spools.relay.pass();
    await catalog.leases();
    const before = spools.relay.lost();
    spools.relay.loseCommit("unanswered", { refuses: true });
    const unsettled = catalog.updateBackup(backup.id, { error: "first" });
    await eventually(() => spools.relay.lost() > before);
    await second.insertBackup(backupRecord({ started_at: "2026-01-02T00:00:00.000Z" }));
    await unsettled;
    await second[Symbol.asyncDispose]();
    expect(await other.backup(backup.id)).toMatchObject({ error: "first" });
    await other.updateBackup(backup.id, { error: "later" });
    spools.relay.pass();
    await spools.untilBack(catalog);
    expect(await other.backup(backup.id)).toMatchObject({ error: "later" });
  });

  test("that arrives after it was given up is refused, and one that was answered counts as done", async () => {
    const place = await spools.newPlace();
    await using _catalog = await spools.open(place);
    await using transactions = transactionsAt(new Secret(place.direct), systemClock);
    const sql = spools.postgres.connect(decodeURIComponent(new URL(place.direct).pathname.slice(1)));
    const mark = (number: number) => ({ process: "p", number });
    const happened = (number: number) =>
      transactions.do("ask", (transaction) => hasHappened(transaction, mark(number)));
    await sql.unsafe(markStatement(mark(1)));
    expect(await happened(1)).toBe(true);
    expect(await happened(2)).toBe(false);
    await expect(sql.unsafe(markStatement(mark(2))).execute()).rejects.toThrow("call 2 of p was given up");
    expect(await happened(2)).toBe(false);
    await sql.unsafe(markStatement(mark(3)));
    expect(await happened(3)).toBe(true);
  });

  test("that holds a lock somewhere does not keep the second attempt waiting", async () => {
    const place = await spools.newPlace();
    await using catalog = await spools.open(place);
    const run = runRecord({});
    spools.relay.loseCommit("held");
    await catalog.insertRun(run);
    await using other = await spools.openDirectly(place);
    expect(await other.runs({})).toEqual([run]);
  });

  test("is settled without a spool as well", async () => {
    const place = await spools.newPlace();
    await using catalog = await openCatalog(
      { type: "postgres", url: new Secret(place.url) },
      { clock: spools.clock },
    );
    const backup = backupRecord();
    spools.relay.loseCommit("unanswered");
    await catalog.insertBackup(backup);
    expect(await catalog.backups({})).toEqual([backup]);
  });
});
