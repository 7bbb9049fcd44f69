import type { Database } from "bun:sqlite";
import type { Slots } from "../../fleet/slots.ts";
import type { Do } from "../busy.ts";
import type { Row } from "../tables.ts";

export const TAKE_SLOT = `INSERT INTO slots (schedule, server, due_at, host, claimed_at)
  VALUES ($schedule, $server, $due_at, $host, $claimed_at) ON CONFLICT DO NOTHING`;
export const SLOT_HOST =
  "SELECT host FROM slots WHERE schedule = $schedule AND server = $server AND due_at = $due_at";
export const PRUNE_SLOTS = "DELETE FROM slots WHERE due_at < $before";

export class SqliteSlots implements Slots {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  take({ schedule, server, due_at, host, claimed_at }: Parameters<Slots["take"]>[0]): Promise<string> {
    const slot = { schedule, server, due_at };
    return this.#do("take a due time", () => {
      this.#run(TAKE_SLOT, { ...slot, host, claimed_at });
      return String(this.#database.query<Row, Row>(SLOT_HOST).get(slot)?.["host"] ?? host);
    });
  }

  prune(before: string): Promise<void> {
    return this.#do("remove old due times", () => this.#run(PRUNE_SLOTS, { before }));
  }

  #run(sql: string, values: Row): void {
    this.#database.query<never, Row>(sql).run(values);
  }
}
