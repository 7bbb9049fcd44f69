import { expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { AlertRecord, DeliveryRecord } from "../../../src/catalog/records.ts";
import { alertRecord, deliveryRecord } from "./records.ts";

type Use = () => Catalog;
type Reopen = () => Promise<void>;

export function alerts(use: Use, reopen: Reopen): void {
  const store = (alert: AlertRecord, deliveries: DeliveryRecord[] = []) =>
    use().changeAlert(alert.key, () => ({ alert, deliveries }));

  test("come newest first, filtered by key, and are unacknowledged until a person acknowledges them", async () => {
    const older = alertRecord({
      key: "a",
      created_at: "2026-04-01T00:00:00.000Z",
      metadata: { storages: ["r2"], bytes: 1 },
    });
    const newer = alertRecord({ key: "b", created_at: "2026-04-02T00:00:00.000Z", level: "CRITICAL" });
    await store(older);
    await store(newer);
    expect(await use().alerts({})).toEqual([newer, older]);
    await use().acknowledgeAlert(newer.id, "2026-04-03T00:00:00.000Z");
    await reopen();
    expect(await use().alerts({ unacknowledged: true })).toEqual([older]);
    expect(await use().alerts({ key: "a" })).toEqual([older]);
    expect(await use().alerts({ limit: 1 })).toEqual([
      { ...newer, acknowledged_at: "2026-04-03T00:00:00.000Z" },
    ]);
    const unknown = use().acknowledgeAlert(crypto.randomUUID(), "2026-04-03T00:00:00.000Z");
    await expect(unknown).rejects.toMatchObject({ code: "storage" });
  });

  test("of level INFO need no acknowledgement", async () => {
    const info = alertRecord({ key: "info", level: "INFO", resolved_at: "2026-01-01T00:00:00.000Z" });
    await store(info);
    expect(await use().alerts({ unacknowledged: true })).not.toContainEqual(info);
    expect(await use().alerts({ key: "info" })).toEqual([info]);
  });

  test("of one key: `decide` gets the open one and changes it or not; it never gets a resolved one", async () => {
    const first = alertRecord({ key: "disk full" });
    expect(await store(first, [deliveryRecord({ alert_id: first.id })])).toEqual(first);
    const seen: unknown[] = [];
    const again = await use().changeAlert("disk full", (open) => {
      seen.push(open);
      return open && { alert: { ...open, count: 2 }, deliveries: [deliveryRecord({ alert_id: open.id })] };
    });
    expect(again).toEqual({ ...first, count: 2 });
    expect(await use().deliveries({ alert_id: first.id })).toHaveLength(2);
    expect(await use().changeAlert("disk full", () => undefined)).toBeUndefined();
    expect(await use().alerts({ key: "disk full", open: true })).toEqual([{ ...first, count: 2 }]);

    await store({ ...first, resolved_at: "2026-04-05T00:00:00.000Z" });
    expect(await use().alerts({ key: "disk full", open: true })).toEqual([]);
    await use().changeAlert("disk full", (open) => {
      seen.push(open);
      return undefined;
    });
    expect(seen).toEqual([first, undefined]);
  });

  test("change together with their deliveries, or not at all", async () => {
    const alert = alertRecord({ key: "atomic" });
    const twice = deliveryRecord({});
    await expect(store(alert, [twice, twice])).rejects.toMatchObject({ code: "storage" });
    expect(await use().alerts({ key: "atomic" })).toEqual([]);
    expect((await use().deliveries({})).map(({ id }) => id)).not.toContain(twice.id);
  });

  test("a second open alert of a key is refused", async () => {
    const first = alertRecord({ key: "one" });
    await store(first);
    await expect(store(alertRecord({ key: "one" }))).rejects.toMatchObject({ code: "storage" });
    expect(await use().alerts({ key: "one" })).toEqual([first]);
  });
}

export function deliveries(use: Use, reopen: Reopen): void {
  const at = (minute: number) => `2026-05-01T00:0${minute}:00.000Z`;

  test("come back in the order of insertion, also after reopening", async () => {
    const notifier = crypto.randomUUID();
    const records = [3, 1, 2].map((minute) =>
      deliveryRecord({ notifier, created_at: at(minute), notice: { message: "ü \u{1F418}", count: minute } }),
    );
    await use().insertDeliveries(records);
    await reopen();
    expect(await use().deliveries({ notifier })).toEqual(records);
    const [first] = records as [DeliveryRecord];
    await use().updateDelivery(first.id, { state: "FAILED", error: "404", finished_at: at(5) });
    expect(await use().deliveries({ notifier, state: "PENDING", limit: 1 })).toEqual(records.slice(1, 2));
    expect(await use().deliveries({ notifier, state: "FAILED" })).toEqual([
      { ...first, state: "FAILED", error: "404", finished_at: at(5) },
    ]);
  });

  test("are claimed once they are due, only once, and are due again if the claimer died", async () => {
    const delivery = deliveryRecord({ next_try_at: at(1) });
    await use().insertDeliveries([delivery]);
    const claim = (now: number, until: number) => use().claimDelivery(delivery.id, at(now), at(until));
    expect(await claim(0, 5)).toBe(false);
    expect(await Promise.all([claim(1, 5), claim(1, 5)])).toEqual([true, false]);
    expect(await claim(5, 8)).toBe(true);
    await use().updateDelivery(delivery.id, { state: "DELIVERED" });
    expect(await claim(9, 9)).toBe(false);
    expect((await use().deliveries({ state: "DELIVERED" })).at(-1)).toMatchObject({ attempts: 2 });
  });
}
