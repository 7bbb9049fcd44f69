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
}
