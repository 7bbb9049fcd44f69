import type { ScratchDatabaseRecord, ScratchDatabases } from "../../scratch-databases.ts";
import { ADD } from "../../sqlite/proof/scratch-databases.ts";
import type { Row } from "../../sqlite/tables.ts";
import type { Do } from "../transactions.ts";

export class PostgresScratchDatabases implements ScratchDatabases {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  add({ is_made, ...record }: ScratchDatabaseRecord): Promise<void> {
    return this.#run("record a scratch database", ADD, { ...record, is_made: Number(is_made) });
  }

  made(id: string, oid: number): Promise<void> {
    const sql = "UPDATE scratch_databases SET oid = $oid, is_made = 1 WHERE id = $id";
    return this.#run("record a scratch database", sql, { id, oid });
  }

  all(): Promise<ScratchDatabaseRecord[]> {
    return this.#do("list the scratch databases", async ({ rows }) => {
      const found = await rows<Omit<ScratchDatabaseRecord, "is_made"> & { is_made: number }>(
        "SELECT * FROM scratch_databases ORDER BY created_at, id",
      );
      return found.map((row) => ({ ...row, is_made: row.is_made === 1 }));
    });
  }

  forget(id: string): Promise<void> {
    return this.#run("forget a scratch database", "DELETE FROM scratch_databases WHERE id = $id", { id });
  }

  #run(doing: string, sql: string, values: Row): Promise<void> {
    return this.#do(doing, async ({ run }) => void (await run(sql, values)));
  }
}
