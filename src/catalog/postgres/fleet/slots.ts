import type { Slots, TakenSlot } from "../../fleet/slots.ts";
import { NEWEST_SLOT, PRUNE_SLOTS, SLOT_HOST, TAKE_OVER_SLOT, TAKE_SLOT } from "../../sqlite/fleet/slots.ts";
import type { Do } from "../transactions.ts";

export class PostgresSlots implements Slots {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  take({ schedule, server, due_at, host, claimed_at }: Parameters<Slots["take"]>[0]): Promise<string> {
    const slot = { schedule, server, due_at };
    return this.#do("take a due time", async ({ rows, run }) => {
      // A second one waits here for the transaction of the first.
      await run(TAKE_SLOT, { ...slot, host, claimed_at });
      const [row] = await rows<{ host: string }>(SLOT_HOST, slot);
      return row?.host ?? host;
    });
  }

  newest(schedule: string, server: string, until: string): Promise<TakenSlot | undefined> {
    return this.#do("read a due time", async ({ rows }) => {
      const [row] = await rows<TakenSlot>(NEWEST_SLOT, { schedule, server, until });
      return row;
    });
  }

  takeOver(slot: TakenSlot, { host, claimed_at }: Parameters<Slots["takeOver"]>[1]): Promise<boolean> {
    const values = { ...slot, by: host, at: claimed_at };
    return this.#do(
      "take over a due time",
      async ({ rows }) => (await rows(TAKE_OVER_SLOT, values)).length > 0,
    );
  }

  prune(before: string): Promise<void> {
    return this.#do("remove old due times", async ({ run }) => void (await run(PRUNE_SLOTS, { before })));
  }
}
