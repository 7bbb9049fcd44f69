import type { Database } from "bun:sqlite";
import type { ListingPosition, Listings } from "../../storages/listings.ts";
import type { Do } from "../busy.ts";
import { upsert } from "../statements.ts";
import { LISTINGS, type Row } from "../tables.ts";

export const POSITION = "SELECT * FROM listings WHERE storage = $storage AND purpose = $purpose";
export const FORGET = "DELETE FROM listings WHERE storage = $storage AND purpose = $purpose";

export class SqliteListings implements Listings {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  position(storage: string, purpose: ListingPosition["purpose"]): Promise<ListingPosition | undefined> {
    return this.#do(
      "read how far a listing came",
      () => this.#database.query<ListingPosition, Row>(POSITION).get({ storage, purpose }) ?? undefined,
    );
  }

  keep(position: ListingPosition): Promise<void> {
    const [sql, row] = upsert(LISTINGS, ["storage", "purpose"], position);
    return this.#do(
      "record how far a listing came",
      () => void this.#database.query<never, Row>(sql).run(row),
    );
  }

  forget(storage: string, purpose: ListingPosition["purpose"]): Promise<void> {
    return this.#do(
      "record the end of a listing",
      () => void this.#database.query<never, Row>(FORGET).run({ storage, purpose }),
    );
  }
}
