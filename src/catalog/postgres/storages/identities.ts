import { CONFIRM, INTEND, KNOWN, NEWEST_KEYS, RENAME } from "../../sqlite/storages/identities.ts";
import type { Identities, Renaming, StorageIdentity } from "../../storages/identities.ts";
import type { Do, Transaction } from "../transactions.ts";

/** The part of the catalog in PostgreSQL about the identities of storages. */
export class PostgresIdentities implements Identities {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  all(): Promise<StorageIdentity[]> {
    return this.#do("read the identities of storages", ({ rows }) => rows(`${KNOWN} ORDER BY name`));
  }

  intend(name: string, storage_id: string): Promise<StorageIdentity> {
    return this.#do("store the identity of a storage", async ({ rows, run }) => {
      await run(INTEND, { name, storage_id });
      const [known] = await rows<StorageIdentity>(`${KNOWN} WHERE name = $name`, { name });
      if (!known) throw new Error(`the id ${storage_id} belongs to another storage`);
      return known;
    });
  }

  confirm(name: string, storage_id: string, at: string, place: string | null): Promise<void> {
    return this.#do("store the identity of a storage", async ({ run }) => {
      const values = { name, storage_id };
      await run("DELETE FROM storage_identities WHERE name = $name OR storage_id = $storage_id", values);
      await run(CONFIRM, { ...values, at, place });
    });
  }

  rename(pairs: readonly Renaming[]): Promise<void> {
    // Two storages may have swapped their names, so each leaves its old name first.
    const between = (to: string) => `renamed to ${to}`;
    return this.#do("rename a storage", async (transaction) => {
      for (const { from, to } of pairs) await rename(transaction, from, between(to));
      for (const { to } of pairs) await rename(transaction, between(to), to);
    });
  }

  newestKeys(storage: string, limit: number): Promise<string[]> {
    return this.#do("read copies", async ({ rows }) => {
      const found = await rows<{ object_key: string }>(NEWEST_KEYS, { storage, limit });
      return found.map(({ object_key }) => object_key);
    });
  }
}

async function rename({ run }: Transaction, from: string, to: string): Promise<void> {
  for (const sql of RENAME) await run(sql, { from, to });
}
