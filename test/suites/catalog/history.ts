import { expect, test } from "bun:test";
import { DAY_MS } from "../../../src/base/limits.ts";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { AlertRecord, RunRecord } from "../../../src/catalog/records.ts";
import type { Job } from "../../../src/config/config.ts";
import { alertRecord, deliveryRecord, runRecord } from "./records.ts";

/** Earlier than the records of all other tests. */
const BEFORE = "2020-01-01T00:00:00.000Z";
const daysBefore = (days: number) => new Date(Date.parse(BEFORE) - days * DAY_MS).toISOString();

export function history(use: () => Catalog): void {
  async function prune(): Promise<{ runs: number; alerts: number; deliveries: number }> {
    const total = { runs: 0, alerts: 0, deliveries: 0 };
    for (;;) {
      const { runs, alerts, deliveries } = await use().pruneHistory(BEFORE);
      if (runs + alerts + deliveries === 0) return total;
      total.runs += runs;
      total.alerts += alerts;
      total.deliveries += deliveries;
    }
  }

  test("of runs: old ones are removed, except the newest of each job, outcome and schedule and those still running", async () => {
    // No other test creates runs of this job.
    const job = crypto.randomUUID() as Job;
    const ended = (daysAgo: number, change: Partial<RunRecord> = {}) =>
      runRecord({
        job,
        outcome: "OK",
        started_at: daysBefore(daysAgo),
        finished_at: daysBefore(daysAgo),
        ...change,
      });
    // The newest 100 of the job, together with the first two of `kept`.
    const newest = Array.from({ length: 98 }, (_, n) => ended(n - 50));
    const old = [ended(100), ended(101), ended(102, { outcome: "FAILED" })];
    const kept = [
      ended(98, { outcome: "FAILED" }),
      ended(99, { outcome: "INTERRUPTED" }),
      ended(200, { outcome: "PARTIAL" }),
      ended(300, { schedule: "verify weekly", scheduled_for: daysBefore(300) }),
      ended(400, { outcome: "RUNNING", finished_at: null }),
    ];
    const other = ended(500, { job: "restore" });
    for (const run of [...newest, ...old, ...kept, other]) await use().insertRun(run);
    const totals = await use().overview.runTotals();
    expect((await prune()).runs).toBe(old.length);
    const left = (await use().runs({ job })).map(({ id }) => id);
    expect(left.toSorted()).toEqual([...newest, ...kept].map(({ id }) => id).toSorted());
    expect(await use().runs({ job: "restore" })).toContainEqual(other);
    // Counters do not go back.
    expect(await use().overview.runTotals()).toEqual(totals);
    expect(await prune()).toEqual({ runs: 0, alerts: 0, deliveries: 0 });
    // Of another host; the newest one stays in any case.
    for (const run of [600, 601].map((daysAgo) => ended(daysAgo, { host: "other" })))
      await use().insertRun(run);
    expect((await use().pruneHistory(BEFORE, { hosts: ["other"], servers: [] })).runs).toBe(0);
    expect((await prune()).runs).toBe(1);
  });

  test("of alerts and notices: those that are open, not yet delivered or still in use are kept", async () => {
    const long = daysBefore(9);
    const over = { created_at: long, resolved_at: daysBefore(8) };
    const shrunk = (key: string, change: Partial<AlertRecord>) =>
      alertRecord({ key, metadata: { shrunk_at: long }, ...over, ...change });
    const gone = [
      alertRecord({ key: "gone 1", ...over }),
      alertRecord({ key: "gone 2", level: "INFO", created_at: long, resolved_at: long }),
      shrunk("shrunk twice", { acknowledged_at: long }),
    ];
    const stays = [
      alertRecord({ key: "open", created_at: long }),
      alertRecord({ key: "over since", created_at: long, resolved_at: BEFORE }),
      alertRecord({ key: "not delivered yet", ...over }),
      shrunk("shrunk twice", { acknowledged_at: long, created_at: daysBefore(8.5) }),
      shrunk("shrunk, and nobody has looked", {}),
    ];
    const [first, , waits] = [gone[0], ...stays.slice(1)] as AlertRecord[];
    const sent = deliveryRecord({ alert_id: first?.id ?? "", state: "DELIVERED", finished_at: long });
    const waiting = deliveryRecord({ alert_id: waits?.id ?? "", created_at: long });
    const recent = deliveryRecord({ state: "FAILED", created_at: long, finished_at: BEFORE });
    for (const alert of [...gone, ...stays])
      await use().changeAlert(alert.key, () => ({
        alert,
        deliveries: [sent, waiting].filter(({ alert_id }) => alert_id === alert.id),
      }));
    await use().insertDeliveries([recent]);
    expect(await prune()).toEqual({ runs: 0, alerts: gone.length, deliveries: 1 });
    const left = (await use().alerts({})).map(({ id }) => id);
    for (const { id } of gone) expect(left).not.toContain(id);
    for (const { id } of stays) expect(left).toContain(id);
    const notices = (await use().deliveries({})).map(({ id }) => id);
    expect(notices).toEqual(expect.arrayContaining([waiting.id, recent.id]));
    expect(notices).not.toContain(sent.id);
  });

  test("alerts and notices of other hosts, and alerts about their servers, are left to them", async () => {
    const over = { created_at: daysBefore(9), resolved_at: daysBefore(8) };
    const shop = crypto.randomUUID();
    const alerts = [
      ["other", { server: null, database: null }],
      [undefined, { server: shop }],
    ] as const;
    for (const [host, about] of alerts) {
      const alert = alertRecord({ key: crypto.randomUUID(), ...over, ...about });
      const scope = host === undefined ? undefined : { host, isShared: () => false };
      await use().changeAlert(alert.key, () => ({ alert, deliveries: [] }), scope);
    }
    const sent = deliveryRecord({ state: "DELIVERED", finished_at: daysBefore(8) });
    await use().insertDeliveries([sent], "other");
    const none = { runs: 0, alerts: 0, deliveries: 0 };
    expect(await use().pruneHistory(BEFORE, { hosts: ["other"], servers: [shop] })).toEqual(none);
    expect(await use().pruneHistory(BEFORE, { hosts: ["other"], servers: [] })).toEqual({
      ...none,
      alerts: 1,
    });
    expect(await prune()).toEqual({ ...none, alerts: 1, deliveries: 1 });
  });
}
