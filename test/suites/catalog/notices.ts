import { expect, test } from "bun:test";
import type { DeliveryRecord } from "../../../src/catalog/records.ts";
import { deliveryRecord } from "./records.ts";
import { at, type MakeFixture, onNew } from "./sums.ts";

const NOTHING = { waiting: 0, waiting_since: null, given_up: 0, error: null, last_delivered_at: null };

/** The totals of the notices to each notifier. */
export function notices(make: MakeFixture): void {
  test("are counted until they are delivered, with the reason why they are not", () =>
    onNew(make, async (catalog) => {
      const totals = () => catalog.overview.noticeTotals("ops");
      const queue = async (change: Partial<DeliveryRecord>) => {
        const record = deliveryRecord(change);
        await catalog.insertDeliveries([record]);
        return record.id;
      };
      expect(await totals()).toEqual(NOTHING);
      await queue({ notifier: "other", error: "status 500" });
      const first = await queue({ created_at: at(2) });
      const second = await queue({ created_at: at(3) });
      expect(await totals()).toEqual({ ...NOTHING, waiting: 2, waiting_since: at(2) });
      await catalog.updateDelivery(first, { error: "status 503" });
      expect(await totals()).toMatchObject({ waiting: 2, error: "status 503" });
      const over = { finished_at: at(4), error: null };
      await catalog.updateDelivery(first, { ...over, state: "DELIVERED" });
      await catalog.updateDelivery(second, { ...over, state: "DELIVERED" });
      expect(await totals()).toEqual({ ...NOTHING, last_delivered_at: at(4) });
    }));

  test("that were given up count until a later one is delivered", () =>
    onNew(make, async (catalog) => {
      const totals = () => catalog.overview.noticeTotals("ops");
      const given = (error: string) => deliveryRecord({ state: "FAILED", finished_at: at(5), error });
      await catalog.insertDeliveries([given("status 404"), given("status 410")]);
      expect(await totals()).toEqual({ ...NOTHING, given_up: 2, error: "status 410" });
      await catalog.insertDeliveries([deliveryRecord({ state: "DELIVERED", finished_at: at(6) })]);
      expect(await totals()).toEqual({ ...NOTHING, last_delivered_at: at(6) });
      await catalog.insertDeliveries([given("status 404")]);
      expect(await totals()).toMatchObject({ given_up: 1, error: "status 404", last_delivered_at: at(6) });
    }));

  test("of a host are those that it sends, and those that any host sends", () =>
    onNew(make, async (catalog) => {
      const queue = (host: string | undefined, minute: number, error: string | null = null) =>
        catalog.insertDeliveries([deliveryRecord({ created_at: at(minute), error })], host);
      await queue("web1", 2);
      await queue("web2", 3, "status 500");
      await queue(undefined, 4);
      const totals = (host?: string) => catalog.overview.noticeTotals("ops", host);
      expect(await totals()).toMatchObject({ waiting: 3, error: "status 500" });
      expect(await totals("web1")).toMatchObject({ waiting: 2, waiting_since: at(2), error: null });
      expect(await totals("web2")).toMatchObject({ waiting: 2, waiting_since: at(3), error: "status 500" });
      expect(await totals("web3")).toMatchObject({ waiting: 1, waiting_since: at(4) });
    }));
}
