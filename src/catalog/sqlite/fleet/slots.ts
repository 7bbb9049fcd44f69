import type { Database } from "bun:sqlite";
import type { Slots, TakenSlot } from "../../fleet/slots.ts";
import type { Do } from "../busy.ts";
import type { Row } from "../tables.ts";

export const TAKE_SLOT = `INSERT INTO slots (schedule, server, due_at, host, claimed_at)
  VALUES ($schedule, $server, $due_at, $host, $claimed_at) ON CONFLICT (schedule, server, due_at)
  DO UPDATE SET claimed_at = excluded.claimed_at WHERE slots.host = excluded.host`;
export const NEWEST_SLOT = `SELECT * FROM slots WHERE schedule = $schedule AND server = $server AND due_at <= $until
  ORDER BY due_at DESC LIMIT 1`;
export const TAKE_OVER_SLOT = `UPDATE slots SET host = $by, claimed_at = $at
  WHERE schedule = $schedule AND server = $server AND due_at = $due_at AND host = $host AND claimed_at = $claimed_at
  RETURNING 1 AS taken`;
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

  newest(schedule: string, server: string, until: string): Promise<TakenSlot | undefined> {
    return this.#do("read a due time", () => {
      const values = { schedule, server, until };
      return this.#database.query<TakenSlot, Row>(NEWEST_SLOT).get(values) ?? undefined;
    });
  }

  takeOver(slot: TakenSlot, { host, claimed_at }: Parameters<Slots["takeOver"]>[1]): Promise<boolean> {
    const values = { ...slot, by: host, at: claimed_at };
    return this.#do(
      "take over a due time",
      () => this.#database.query<Row, Row>(TAKE_OVER_SLOT).get(values) !== null,
    );
  }

  prune(before: string): Promise<void> {
    return this.#do("remove old due times", () => this.#run(PRUNE_SLOTS, { before }));
  }

  #run(sql: string, values: Row): void {
    this.#database.query<never, Row>(sql).run(values);
  }
}
