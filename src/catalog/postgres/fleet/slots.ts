import type { Slots } from "../../fleet/slots.ts";
import { PRUNE_SLOTS, SLOT_HOST, TAKE_SLOT } from "../../sqlite/fleet/slots.ts";
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

  prune(before: string): Promise<void> {
    return this.#do("remove old due times", async ({ run }) => void (await run(PRUNE_SLOTS, { before })));
  }
}
