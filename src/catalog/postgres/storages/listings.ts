import { upsert } from "../../sqlite/statements.ts";
import { FORGET, POSITION } from "../../sqlite/storages/listings.ts";
import { fromRow, LISTINGS } from "../../sqlite/tables.ts";
import type { ListingPosition, Listings } from "../../storages/listings.ts";
import type { Do } from "../transactions.ts";

export class PostgresListings implements Listings {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  position(storage: string, purpose: ListingPosition["purpose"]): Promise<ListingPosition | undefined> {
    return this.#do("read how far a listing came", async ({ rows }) => {
      const [row] = await rows(POSITION, { storage, purpose });
      return row && fromRow(LISTINGS, row);
    });
  }

  keep(position: ListingPosition): Promise<void> {
    const statement = upsert(LISTINGS, ["storage", "purpose"], position);
    return this.#do("record how far a listing came", async ({ run }) => void (await run(...statement)));
  }

  forget(storage: string, purpose: ListingPosition["purpose"]): Promise<void> {
    return this.#do(
      "record the end of a listing",
      async ({ run }) => void (await run(FORGET, { storage, purpose })),
    );
  }
}
